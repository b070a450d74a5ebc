/** Bytes of a guest that wait for a socket: a ring of fixed size, whose memory is there once it is used. */

/** Where bytes are copied from, such as a packet in guest memory. */
export interface ByteSource {
  /** Fills `target` with the bytes behind the first `skip`. */
  copyTo(target: Uint8Array, skip: number): void;
}

const NONE = new Uint8Array(0);

/** First in, first out. */
export class ByteRing {
  readonly #capacity: number;
  #bytes = NONE;
  #begin = 0;
  #count = 0;

  /** @param capacity most bytes that ever wait. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many bytes wait. */
  get count(): number {
    return this.#count;
  }

  /** Adds `length` bytes; the caller has seen to it that there is room. */
  push(source: ByteSource, skip: number, length: number): void {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#capacity);
    // In one piece where that is possible.
    if (this.#count === 0) this.#begin = 0;
    const room = this.#bytes;
    const at = (this.#begin + this.#count) % room.length;
    const first = Math.min(length, room.length - at);
    source.copyTo(room.subarray(at, at + first), skip);
    if (first < length) source.copyTo(room.subarray(0, length - first), skip + first);
    this.#count += length;
  }

  /** The first bytes, not copied: as many of `most` as are in one piece. Valid until the ring changes. */
  piece(most = this.#count): Uint8Array {
    const end = Math.min(this.#begin + Math.min(most, this.#count), this.#bytes.length);
    return this.#bytes.subarray(this.#begin, end);
  }

  /** The first `length` bytes, copied where they are in two pieces. Valid until the ring changes. */
  first(length: number): Uint8Array {
    const piece = this.piece(length);
    if (piece.length === length) return piece;
    return Buffer.concat([piece, this.#bytes.subarray(0, length - piece.length)]);
  }

  /** Forgets the first bytes. */
  shift(length: number): void {
    this.#begin = (this.#begin + length) % this.#capacity;
    this.#count -= length;
  }

  /** Forgets the last bytes. */
  drop(length: number): void {
    this.#count -= length;
  }
}
