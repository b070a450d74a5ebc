/** The guest's side of `--report`: output is recorded as it passes, and reported to the host. */
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import type { SocketStream } from "../io/stream.ts";
import { encodeReport, REPORT_OUTPUT_MAX_BYTES } from "../protocols/guest-exec/report.ts";
import type { CommandEnd, OutputSinks } from "./shell.ts";

/** The beginning of one stream of output. */
class KeptOutput {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes that are not kept. */
  dropped = 0;

  push(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, REPORT_OUTPUT_MAX_BYTES - this.#bytes);
    this.dropped += bytes.length - kept.length;
    if (kept.length === 0) return;
    this.#chunks.push(kept.slice());
    this.#bytes += kept.length;
  }

  take(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }
}

/** Records one command's output while it is passed on as without a report. */
export class ReportedCommand {
  readonly #stdout = new KeptOutput();
  readonly #stderr = new KeptOutput();
  readonly sinks: OutputSinks;

  constructor(next: OutputSinks) {
    // A blocked console must not truncate the report.
    const tee = (kept: KeptOutput, sink: OutputSinks["onStdout"]) => {
      let open = true;
      return async (bytes: Uint8Array) => {
        kept.push(bytes);
        if (!open) return;
        await sink(bytes).catch(() => {
          open = false;
        });
      };
    };
    this.sinks = {
      onStdout: tee(this.#stdout, (bytes) => next.onStdout(bytes)),
      onStderr: tee(this.#stderr, (bytes) => next.onStderr(bytes)),
    };
  }

  /**
   * Sends the report.
   *
   * @returns why the report could not be sent, if it could not: commands are run all the same.
   */
  async send(stream: SocketStream, result: CommandEnd): Promise<VsockboxError | undefined> {
    if (result.error !== undefined) {
      this.#stderr.push(new TextEncoder().encode(`vsockbox: ${result.error.message}\n`));
    }
    const report = encodeReport({
      exitCode: result.code,
      signal: result.signal,
      stdout: this.#stdout.take(),
      stderr: this.#stderr.take(),
      durationMs: result.durationMs,
      droppedBytes: this.#stdout.dropped + this.#stderr.dropped,
    });
    try {
      await stream.write(report);
      return undefined;
    } catch (thrown) {
      return toVsockboxError(thrown, "report");
    }
  }
}
