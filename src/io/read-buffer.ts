/** Received bytes of a stream that have not been read, and the reader that waits for them. */
import type { VsockboxError } from "../errors.ts";

/** A queue of chunks with an end or a failure after them; it has one reader. */
export class ReadBuffer {
  readonly #onRead: () => void;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isEnded = false;
  #failure: VsockboxError | undefined;
  #reader: PromiseWithResolvers<void> | undefined;
  readonly #watchers = new Set<() => void>();

  /** @param onRead called after each chunk that the reader has got. */
  constructor(onRead: () => void) {
    this.#onRead = onRead;
  }

  /** Number of unread bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the input has ended; unread bytes may precede the end. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether {@link next} would wait: nothing is unread, and the input has neither ended nor failed. */
  get mustWait(): boolean {
    return this.#chunks.length === 0 && !this.#isEnded && this.#failure === undefined;
  }

  /**
   * Returns the next chunk, or undefined at the end.
   *
   * @throws {VsockboxError} the failure, after all chunks before it.
   */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.length;
        this.#onRead();
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isEnded) return undefined;
      this.#reader ??= Promise.withResolvers();
      await this.#reader.promise;
    }
  }

  /**
   * Calls `wake` as soon as {@link next} would not wait, at once if that is so already; until disposed.
   * Unlike a call of {@link next}, one that is disposed consumes nothing.
   */
  onReadable(wake: () => void): Disposable {
    if (this.mustWait) this.#watchers.add(wake);
    else wake();
    return { [Symbol.dispose]: () => void this.#watchers.delete(wake) };
  }

  /** Appends received bytes. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#wake();
  }

  /** Puts bytes back, so that {@link next} returns them first. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.unshift(bytes);
    this.#bytes += bytes.length;
  }

  /** Drops all unread bytes. */
  clear(): void {
    this.#chunks = [];
    this.#bytes = 0;
  }

  /** Marks the end of the input. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** Fails all reads that follow the unread bytes; the first failure is kept. */
  fail(failure: VsockboxError): void {
    this.#failure ??= failure;
    this.#wake();
  }

  #wake(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.resolve();
    if (this.#watchers.size === 0) return;
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const wake of watchers) wake();
  }
}
