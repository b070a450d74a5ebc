/**
 * Records of a guest that wait for their socket, as plain bytes and lengths: a guest that sends records
 * of one byte uses no more memory here than its credit and a number for each record.
 */
import type { BufferPool } from "./buffer-pool.ts";
import { ByteRing, type CopySource } from "./byte-ring.ts";

/** Initial capacity in records; it doubles. */
const FIRST_RECORDS = 16;

/** A ring of bytes and a ring of lengths. */
export class SeqpacketQueue {
  readonly #bytes: ByteRing;
  /** Bytes of the last record, which is incomplete. */
  #incomplete = 0;
  /** Twice the length of each record, plus one if it has MSG_EOR. */
  #lengths = new Float64Array(FIRST_RECORDS);
  #first = 0;
  #records = 0;

  /** @param capacity limit of queued bytes: the credit of the guest. */
  constructor(pool: BufferPool, capacity: number) {
    this.#bytes = new ByteRing(pool, () => capacity);
  }

  /** Unmaps memory of records that were sent. */
  compact(): void {
    this.#bytes.compact();
  }

  /** Drops all records, complete or not. */
  clear(): void {
    this.#bytes.clear();
    this.#incomplete = this.#records = 0;
  }

  /** How many complete records are queued. */
  get records(): number {
    return this.#records;
  }

  /** Adds bytes to the last record; the caller has checked the credit. */
  push(source: CopySource, bytes: number): void {
    this.#bytes.push(source, 0, bytes);
    this.#incomplete += bytes;
  }

  /** Completes the last record. */
  finish(hasEor: boolean): void {
    if (this.#records === this.#lengths.length) this.#grow();
    const last = (this.#first + this.#records) % this.#lengths.length;
    this.#lengths[last] = this.#incomplete * 2 + (hasEor ? 1 : 0);
    this.#records++;
    this.#incomplete = 0;
  }

  #grow(): void {
    const { length } = this.#lengths;
    const lengths = new Float64Array(length * 2);
    for (let index = 0; index < this.#records; index++) {
      lengths[index] = this.#lengths[(this.#first + index) % length] ?? 0;
    }
    this.#lengths = lengths;
    this.#first = 0;
  }

  /** Drops the incomplete record; returns its size so far, in bytes. */
  dropIncomplete(): number {
    const bytes = this.#incomplete;
    this.#bytes.drop(bytes);
    this.#incomplete = 0;
    return bytes;
  }

  /** Whether the first record has MSG_EOR. */
  get firstHasEor(): boolean {
    return (this.#lengths[this.#first] ?? 0) % 2 === 1;
  }

  /** Returns the bytes of the first record, valid until the queue changes. */
  first(): Uint8Array {
    return this.#bytes.first(this.#firstLength);
  }

  get #firstLength(): number {
    return Math.floor((this.#lengths[this.#first] ?? 0) / 2);
  }

  /** Removes the first record; returns its size in bytes. */
  shift(): number {
    const length = this.#firstLength;
    this.#first = (this.#first + 1) % this.#lengths.length;
    this.#records--;
    this.#bytes.shift(length);
    // Many small records are rare: the memory of their lengths is freed.
    if (this.#records === 0 && this.#lengths.length > FIRST_RECORDS) {
      this.#lengths = new Float64Array(FIRST_RECORDS);
      this.#first = 0;
    }
    return length;
  }
}
