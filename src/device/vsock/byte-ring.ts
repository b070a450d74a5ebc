/** A ring buffer of fixed capacity for bytes of a guest that wait for a socket; allocated at first use. */

/** Source of bytes, such as a packet in guest memory. */
export interface CopySource {
  /** Fills `target` with the bytes that follow the first `skip`. */
  copyTo(target: Uint8Array, skip: number): void;
}

const NONE = new Uint8Array(0);

/** Bytes, first in, first out. */
export class ByteRing {
  readonly #capacity: number;
  #bytes = NONE;
  #begin = 0;
  #count = 0;

  /** @param capacity limit of queued bytes. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many bytes are queued. */
  get count(): number {
    return this.#count;
  }

  /** Adds `length` bytes of the source; the caller has checked that they fit. */
  push(source: CopySource, skip: number, length: number): void {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#capacity);
    // An empty ring starts at its beginning, so that the bytes are in one piece.
    if (this.#count === 0) this.#begin = 0;
    const ring = this.#bytes;
    const at = (this.#begin + this.#count) % ring.length;
    const first = Math.min(length, ring.length - at);
    source.copyTo(ring.subarray(at, at + first), skip);
    if (first < length) source.copyTo(ring.subarray(0, length - first), skip + first);
    this.#count += length;
  }

  /** Returns the first bytes without a copy, as far as they are in one piece; valid until a change. */
  piece(most = this.#count): Uint8Array {
    const end = Math.min(this.#begin + Math.min(most, this.#count), this.#bytes.length);
    return this.#bytes.subarray(this.#begin, end);
  }

  /** Returns the first `length` bytes, copied if they are in two pieces; valid until a change. */
  first(length: number): Uint8Array {
    const piece = this.piece(length);
    if (piece.length === length) return piece;
    return Buffer.concat([piece, this.#bytes.subarray(0, length - piece.length)]);
  }

  /** Removes the first bytes. */
  shift(length: number): void {
    this.#begin = (this.#begin + length) % this.#capacity;
    this.#count -= length;
  }

  /** Removes the last bytes. */
  drop(length: number): void {
    this.#count -= length;
  }
}
