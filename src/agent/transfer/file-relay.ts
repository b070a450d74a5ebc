/**
 * From guest to guest: what one agent sends is what the other takes, record by record. Neither is
 * trusted: each record is read and written anew, and at the top only what the user asked for passes.
 */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { bad, field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import {
  decodeResumeOffer,
  decodeTreeRecord,
  encodeResumeOffer,
  encodeTreeRecord,
  type TreeRecord,
} from "../../protocols/agent/tree-records.ts";
import type { Channel } from "../channel/channel.ts";
import { ReceivedBytes } from "./receive-limit.ts";
import { type RequestedEntry, RequestedRoot } from "./requested-root.ts";
import { FILE_STREAM, type TransferProgress, TransferSummary } from "./transfer.ts";

/** What is relayed, and who watches. */
export interface RelayOptions {
  requested: RequestedEntry;
  /** Most bytes that pass, holes included; undefined: any number. */
  maxBytes?: number | undefined;
  signal: AbortSignal;
  onProgress: (progress: TransferProgress) => void;
}

/**
 * Joins a `get` of one agent to a `put` of another.
 *
 * @throws {VsockboxError} what ended the transfer; BAD_DATA for what was not asked for.
 */
export async function relayFiles(
  get: Channel,
  put: Channel,
  { requested, maxBytes, signal, onProgress }: RelayOptions,
): Promise<TransferSummary> {
  const cancel = (reason: VsockboxError) => {
    get.cancel(reason);
    put.cancel(reason);
  };
  using _abort = onAbort(signal, () => cancel(abortError(signal, "copy")));
  const root = new RequestedRoot(requested);
  const limit = new ReceivedBytes(maxBytes);
  // The receiver's offers of a resumed transfer.
  put.onControl = (value) => {
    const offer = decodeResumeOffer(value);
    if (offer.kind === "same") root.passOver();
    get.control(encodeResumeOffer(offer));
  };
  const summary = new TransferSummary();
  try {
    for (;;) {
      const item = await get.next();
      if (item === undefined) break;
      if (item.kind === "data") {
        if (!root.takesData || item.stream !== FILE_STREAM)
          throw bad("transfer", "stray bytes came");
        limit.add(item.bytes.length);
        await put.send(FILE_STREAM, item.bytes);
        summary.bytes += item.bytes.length;
      } else {
        const record = decodeTreeRecord(item.value);
        root.check(record);
        if (record.kind === "file") limit.expect(record.size ?? 0);
        if (record.kind === "hole") limit.add(record.bytes);
        await put.sendRecord(encodeTreeRecord(record));
        count(summary, record);
      }
      onProgress(summary);
    }
    await get.result;
    put.end();
    const taken = await put.result;
    summary.addErrors(taken);
    summary.files = countOf(taken, "files");
    summary.bytes = countOf(taken, "bytes");
    summary.reused = countOf(taken, "reused");
    return summary;
  } catch (thrown) {
    const error = toVsockboxError(thrown, "copy");
    cancel(error);
    // A receiver that gave up is the reason for the sender's failure, too.
    if (put.isClosed && error.code === "ABORTED") await put.result;
    throw thrown;
  }
}

/** A number of the receiver's summary; 0 for anything that is not a count. */
function countOf(summary: JsonObject, name: string): number {
  const value = field(summary, name);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

function count(summary: TransferSummary, { kind }: TreeRecord): void {
  if (kind === "file") summary.files++;
  if (kind === "directory") summary.directories++;
  if (kind === "link") summary.links++;
}
