/** From guest to guest: what one agent sends is what the other takes, record by record. */
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import { abortError, onAbort } from "../net/retry.ts";
import { field, type JsonObject } from "../protocols/agent/json-fields.ts";
import type { Channel } from "./channel.ts";
import { type TransferProgress, TransferSummary } from "./transfer.ts";

/**
 * Joins a `get` of one agent to a `put` of another.
 *
 * @throws {VsockboxError} what ended the transfer.
 */
export async function relayFiles(
  get: Channel,
  put: Channel,
  signal: AbortSignal,
  onProgress: (progress: TransferProgress) => void,
): Promise<TransferSummary> {
  const cancel = (reason: VsockboxError) => {
    get.cancel(reason);
    put.cancel(reason);
  };
  using _abort = onAbort(signal, () => cancel(abortError(signal, "copy")));
  // The receiver's offers of a resumed transfer.
  put.onControl = (value) => get.control(value);
  const summary = new TransferSummary();
  try {
    for (;;) {
      const item = await get.next();
      if (item === undefined) break;
      if (item.kind === "data") {
        await put.send(item.stream, item.bytes);
        summary.bytes += item.bytes.length;
      } else {
        await put.sendRecord(item.value);
        count(summary, item.value);
      }
      onProgress(summary);
    }
    await get.result;
    put.end();
    const taken = await put.result;
    summary.addErrors(taken);
    const number = (name: string) => Number(field(taken, name) ?? 0);
    summary.files = number("files");
    summary.bytes = number("bytes");
    summary.reused = number("reused");
    return summary;
  } catch (thrown) {
    const error = toVsockboxError(thrown, "copy");
    cancel(error);
    // A receiver that gave up is the reason for the sender's failure, too.
    if (put.isClosed && error.code === "ABORTED") await put.result;
    throw thrown;
  }
}

function count(summary: TransferSummary, record: JsonObject): void {
  const kind = field(record, "kind");
  if (kind === "file") summary.files++;
  if (kind === "directory") summary.directories++;
  if (kind === "link") summary.links++;
}
