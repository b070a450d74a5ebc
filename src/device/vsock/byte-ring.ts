/**
 * A ring buffer for bytes of a guest that wait for a socket. It has memory of the size of its limit while
 * bytes are queued, of which only written pages are used, and none while it is empty. After a burst
 * {@link ByteRing.compact} unmaps the pages of bytes that were read.
 */
import type { PrivateMapping } from "../../ffi/mmap.ts";
import type { BufferPool } from "./buffer-pool.ts";

/** Source of bytes, such as a packet in guest memory. */
export interface CopySource {
  /** Fills `target` with the bytes that follow the first `skip`. */
  copyTo(target: Uint8Array, skip: number): void;
}

const NONE = new Uint8Array(0);

/** Written pages of bytes that were read are unmapped if there are more than so many bytes of them. */
const COMPACT_BYTES = 64 * 1024;

/** Bytes, first in, first out. */
export class ByteRing {
  readonly #pool: BufferPool;
  readonly #limitBytes: () => number;
  #mapping: PrivateMapping | undefined;
  #bytes: Uint8Array = NONE;
  #begin = 0;
  #count = 0;
  /** Beyond this offset the pages were never written. */
  #written = 0;

  /** @param limitBytes returns the limit of queued bytes, which never decreases. */
  constructor(pool: BufferPool, limitBytes: () => number) {
    this.#pool = pool;
    this.#limitBytes = limitBytes;
  }

  /** How many bytes are queued. */
  get count(): number {
    return this.#count;
  }

  /** The size of its memory in bytes; 0 if it has none. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /**
   * Adds `length` bytes of the source.
   *
   * @throws {RangeError} beyond the limit, which the caller has to check.
   */
  push(source: CopySource, skip: number, length: number): void {
    if (length === 0) return;
    if (this.#count + length > this.#bytes.length) this.#enlarge(this.#count + length);
    // An empty ring starts at its beginning, so that the bytes are in one piece.
    if (this.#count === 0) this.#begin = 0;
    const ring = this.#bytes;
    const at = (this.#begin + this.#count) % ring.length;
    const first = Math.min(length, ring.length - at);
    source.copyTo(ring.subarray(at, at + first), skip);
    if (first < length) source.copyTo(ring.subarray(0, length - first), skip + first);
    this.#written = Math.max(this.#written, at + first);
    this.#count += length;
  }

  /** Moves to memory of the present limit: the first, or larger than before. */
  #enlarge(needed: number): void {
    const limit = this.#limitBytes();
    if (needed > limit) throw new RangeError(`${needed} bytes do not fit into ${limit}`);
    this.#moveTo(this.#pool.take(limit), (old) => this.#pool.give(old));
    // By an earlier user of the mapping, perhaps.
    this.#written = limit;
  }

  #moveTo(mapping: PrivateMapping, free: (old: PrivateMapping) => void): void {
    const old = this.#mapping;
    mapping.bytes.set(this.first(this.#count));
    this.#mapping = mapping;
    this.#bytes = mapping.bytes;
    this.#begin = 0;
    this.#written = this.#count;
    if (old !== undefined) free(old);
  }

  /** Unmaps the pages of bytes that were read, if they are worth a copy of the others. */
  compact(): void {
    if (this.#written - this.#count < COMPACT_BYTES) return;
    this.#moveTo(this.#pool.takeUntouched(this.#bytes.length), (old) => old.unmap());
  }

  /** Drops all bytes, and with them the memory. */
  clear(): void {
    this.#count = 0;
    this.#free();
  }

  #free(): void {
    const mapping = this.#mapping;
    if (mapping === undefined) return;
    this.#mapping = undefined;
    this.#bytes = NONE;
    this.#begin = this.#written = 0;
    this.#pool.give(mapping);
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
    if (this.#count === 0) this.#free();
  }
}
