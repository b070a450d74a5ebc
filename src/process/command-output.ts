/** Reading a command's output to its end, which may never come. */
import type { OutputReader } from "../io/output-reader.ts";

/**
 * After the command itself has ended, its output is read until its end; if a background process
 * keeps the pipe open, until nothing was written for this long, in milliseconds.
 */
const OUTPUT_QUIET_MS = 250;

/** A command's output, whose reading ends once the command has exited and the pipe is silent. */
export class WatchedOutput {
  readonly #pipe: OutputReader;
  /** Since when a read waits for bytes; undefined while none does. */
  #waitingSince: number | undefined;
  #ended = false;

  constructor(pipe: OutputReader) {
    this.#pipe = pipe;
  }

  /** The next bytes, or undefined at the end. */
  read(): Promise<Uint8Array | undefined> {
    return this.#watch(() => this.#pipe.read());
  }

  async #watch(read: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    this.#waitingSince = performance.now();
    const chunk = await read();
    this.#waitingSince = undefined;
    if (chunk === undefined) this.#ended = true;
    return chunk;
  }

  /**
   * Writes all of it to `sink`, which is done with the bytes when it resolves, and discards the rest if that fails: a command must not block on it,
   * and one that is being stopped may still write.
   */
  async drain(sink: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    let wanted = true;
    for (;;) {
      const chunk = await this.#watch(() => this.#pipe.readLent());
      if (chunk === undefined) return;
      if (!wanted) continue;
      await sink(chunk).catch(() => {
        wanted = false;
      });
    }
  }

  /** From now on {@link OUTPUT_QUIET_MS} without a byte count as the end of the output. */
  endWhenQuiet(): void {
    const from = performance.now();
    const timer = setInterval(() => {
      const since = this.#waitingSince;
      const quiet =
        since !== undefined && performance.now() - Math.max(since, from) >= OUTPUT_QUIET_MS;
      // On a busy system bytes may wait in the pipe although this process has not read them yet.
      const isOver = quiet && this.#pipe.isIdle;
      if (isOver) void this.#pipe.close();
      if (isOver || this.#ended) clearInterval(timer);
    }, OUTPUT_QUIET_MS / 5);
  }
}
