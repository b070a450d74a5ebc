/** A connection without a socket: what its peer sends is written down before, in chunks. */
import type { WireConn } from "../../src/library/wire-exchange.ts";

/** Notes what is written, and returns the chunks one by one, in parts if less is asked for. */
export class MemoryConn implements WireConn {
  readonly written: Uint8Array[] = [];
  isClosed = false;
  readonly #chunks: Uint8Array[];
  readonly #closing = Promise.withResolvers<void>();

  /** @param keepsOpen whether reads after the last chunk wait instead of reporting the end of input. */
  constructor(
    chunks: readonly Uint8Array[],
    readonly keepsOpen = false,
  ) {
    this.#chunks = chunks.filter((chunk) => chunk.length > 0);
  }

  /** Bytes that were not read. */
  get unread(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  async read({ maxBytes }: { maxBytes: number }): Promise<Uint8Array | undefined> {
    const [first] = this.#chunks;
    if (first === undefined) {
      if (this.keepsOpen && !this.isClosed) await this.#closing.promise;
      return undefined;
    }
    const part = first.subarray(0, maxBytes);
    this.#chunks.splice(0, 1, ...[first.subarray(part.length)].filter(({ length }) => length > 0));
    return part;
  }

  write(bytes: Uint8Array): Promise<void> {
    this.written.push(Uint8Array.from(bytes));
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.#closing.resolve();
    return Promise.resolve();
  }
}
