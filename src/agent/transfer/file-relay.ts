/**
 * Copies from guest to guest by relaying the records of one agent to another. Neither is trusted: each
 * record is decoded and encoded again, and at depth 0 only the requested entry passes.
 */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { badField, field, type JsonObject } from "../../protocols/agent/json-fields.ts";
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

/** Options of {@link relayFiles}. */
export interface RelayOptions {
  requested: RequestedEntry;
  /** Limit of the relayed bytes, holes included; undefined: none. */
  maxBytes?: number | undefined;
  signal: AbortSignal;
  onProgress: (progress: TransferProgress) => void;
  /** Called for each record after it was passed on. */
  onRecord?: ((record: TreeRecord) => void) | undefined;
}

/**
 * Joins a `get` of one agent to a `put` of another.
 *
 * @throws {VsockboxError} the error of the end that failed; BAD_DATA for records that were not requested.
 */
export async function relayFiles(
  get: Channel,
  put: Channel,
  { requested, maxBytes, signal, onProgress, onRecord }: RelayOptions,
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
    if (offer.kind === "same") root.skipFile();
    get.control(encodeResumeOffer(offer));
  };
  const summary = new TransferSummary();
  try {
    for (;;) {
      const item = await get.next();
      if (item === undefined) break;
      if (item.kind === "data") {
        if (!root.acceptsData || item.stream !== FILE_STREAM)
          throw badField("transfer", "unexpected bytes");
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
        onRecord?.(record);
      }
      onProgress(summary);
    }
    await get.result;
    put.end();
    const received = await put.result;
    summary.addReported(received);
    summary.files = countOf(received, "files");
    summary.bytes = countOf(received, "bytes");
    summary.reused = countOf(received, "reused");
    return summary;
  } catch (thrown) {
    const error = toVsockboxError(thrown, "copy");
    cancel(error);
    // The receiver's error is the cause if it closed first.
    if (put.isClosed && error.code === "ABORTED") await put.result;
    throw thrown;
  }
}

/** A count of the receiver's summary; 0 for any other value. */
function countOf(summary: JsonObject, name: string): number {
  const value = field(summary, name);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

function count(summary: TransferSummary, { kind }: TreeRecord): void {
  if (kind === "file") summary.files++;
  if (kind === "directory") summary.directories++;
  if (kind === "link") summary.links++;
}
