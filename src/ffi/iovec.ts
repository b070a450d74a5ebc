/** Reading and writing many pieces of memory in one call, with nothing allocated: readv(2). */
import { lastErrno, libc, ptr } from "./libc.ts";

/** IOV_MAX of Linux, uapi/linux/uio.h. */
const MAX_PIECES = 1024;

/** sizeof(struct iovec) on 64-bit architectures: address and length, in bytes and in u32. */
const IOVEC_BYTES = 16;
const IOVEC_WORDS = IOVEC_BYTES / 4;

const WORD = 2 ** 32;

/**
 * Memory ranges by address, for readv(2) and writev(2). The caller of {@link add} must own each range:
 * the kernel returns EFAULT for unmapped memory only.
 */
export class IoVector {
  // Words instead of u64: storing one would allocate a bigint.
  readonly #words: Uint32Array;
  readonly #address;
  readonly #capacity: number;
  #count = 0;
  #bytes = 0;
  #lastEnd = -1;
  #lastLength = 0;

  constructor(capacity = MAX_PIECES) {
    this.#capacity = Math.min(capacity, MAX_PIECES);
    this.#words = new Uint32Array(new ArrayBuffer(this.#capacity * IOVEC_BYTES));
    this.#address = ptr(this.#words);
  }

  /** The number of ranges; adjacent ones count as one. */
  get count(): number {
    return this.#count;
  }

  /** The number of bytes in all ranges. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Removes all ranges. */
  clear(): void {
    this.#count = 0;
    this.#bytes = 0;
    this.#lastEnd = -1;
  }

  /** Adds a range. Returns false if IOV_MAX is reached. */
  push(address: number, length: number): boolean {
    if (length === 0) return true;
    if (address === this.#lastEnd) {
      this.#lastLength += length;
      this.#setLength(this.#count - 1, this.#lastLength);
    } else {
      if (this.#count === this.#capacity) return false;
      const word = this.#count * IOVEC_WORDS;
      this.#words[word] = address >>> 0;
      this.#words[word + 1] = address / WORD;
      this.#setLength(this.#count, length);
      this.#lastLength = length;
      this.#count++;
    }
    this.#lastEnd = address + length;
    this.#bytes += length;
    return true;
  }

  /**
   * Calls readv(2) into the ranges.
   *
   * @returns the count of bytes, 0 at end of input, or the errno as a negative number.
   */
  readv(fd: number): number {
    const count = Number(libc().readv(fd, this.#address, this.#count));
    return count < 0 ? -lastErrno() : count;
  }

  /**
   * Calls writev(2) from the ranges. On a socket whose peer has closed it raises SIGPIPE, which the runtime
   * ignores.
   *
   * @returns the number of bytes written, or the errno as a negative number.
   */
  writev(fd: number): number {
    const count = Number(libc().writev(fd, this.#address, this.#count));
    return count < 0 ? -lastErrno() : count;
  }

  #setLength(index: number, length: number): void {
    const word = index * IOVEC_WORDS + 2;
    this.#words[word] = length >>> 0;
    this.#words[word + 1] = length / WORD;
  }
}
