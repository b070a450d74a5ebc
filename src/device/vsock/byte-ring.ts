/**
 * A ring buffer for bytes of a guest that wait for a socket: allocated at first use, doubled when it is
 * full, and back at its first size when it is empty.
 */

/** Source of bytes, such as a packet in guest memory. */
export interface CopySource {
  /** Fills `target` with the bytes that follow the first `skip`. */
  copyTo(target: Uint8Array, skip: number): void;
}

const NONE = new Uint8Array(0);

/** Bytes, first in, first out. */
export class ByteRing {
  readonly #firstSize: number;
  #bytes = NONE;
  #begin = 0;
  #count = 0;

  /** @param firstSize its size at first use, in bytes. */
  constructor(firstSize: number) {
    this.#firstSize = firstSize;
  }

  /** How many bytes are queued. */
  get count(): number {
    return this.#count;
  }

  /** Its present size in bytes; 0 if nothing is allocated. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** Adds `length` bytes of the source; the caller has checked that they fit. */
  push(source: CopySource, skip: number, length: number): void {
    if (this.#count + length > this.#bytes.length) this.#grow(this.#count + length);
    // An empty ring starts at its beginning, so that the bytes are in one piece.
    if (this.#count === 0) this.#begin = 0;
    const ring = this.#bytes;
    const at = (this.#begin + this.#count) % ring.length;
    const first = Math.min(length, ring.length - at);
    source.copyTo(ring.subarray(at, at + first), skip);
    if (first < length) source.copyTo(ring.subarray(0, length - first), skip + first);
    this.#count += length;
  }

  #grow(needed: number): void {
    let size = Math.max(this.#bytes.length, this.#firstSize);
    while (size < needed) size *= 2;
    const larger = new Uint8Array(size);
    larger.set(this.first(this.#count));
    this.#bytes = larger;
    this.#begin = 0;
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
    this.#begin += length;
    if (this.#begin >= this.#bytes.length) this.#begin -= this.#bytes.length;
    this.drop(length);
  }

  /** Removes the last bytes. */
  drop(length: number): void {
    this.#count -= length;
    if (this.#count === 0 && this.#bytes.length > this.#firstSize) this.#bytes = NONE;
  }
}
