/**
 * Buffers that requests of the kernel are read into. A large write keeps its buffer until the host has
 * answered; of those that come back a few are kept for the next ones, so that a burst of writes does not
 * hold its memory for ever.
 */

/** Buffers that are kept: as many as a writing program has in flight. */
const MAX_FREE = 4;

/** Buffers of one size. */
export class RequestBuffers {
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];

  /** @param bytes of each buffer. */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** The number of buffers that are kept. */
  get free(): number {
    return this.#free.length;
  }

  /** Returns a buffer, which is the caller's until {@link release}. */
  acquire(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.#bytes);
  }

  /** Accepts a buffer that is not used any longer. */
  release(buffer: Uint8Array): void {
    if (this.#free.length < MAX_FREE) this.#free.push(buffer);
  }
}
