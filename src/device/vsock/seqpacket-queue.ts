/**
 * Records of a guest that wait for their socket, as plain bytes and lengths: a guest that sends them
 * byte by byte takes no more memory here than its credit and a number for each record.
 */
import { ByteRing, type ByteSource } from "./byte-ring.ts";

/** Room for so many records at first; it doubles. */
const FIRST_RECORDS = 16;

/** A ring of bytes and a ring of lengths. */
export class SeqpacketQueue {
  readonly #bytes: ByteRing;
  /** Bytes of the last record, whose end has not come. */
  #unfinished = 0;
  /** Twice the length of each record, and one more where it has the mark of its end. */
  #lengths = new Float64Array(FIRST_RECORDS);
  #first = 0;
  #records = 0;

  /** @param capacity most bytes that ever wait: the credit that the guest was given. */
  constructor(capacity: number) {
    this.#bytes = new ByteRing(capacity);
  }

  /** How many records wait as a whole. */
  get records(): number {
    return this.#records;
  }

  /** Adds `bytes` bytes to the last record; the caller has seen to it that there is room. */
  push(source: ByteSource, bytes: number): void {
    this.#bytes.push(source, 0, bytes);
    this.#unfinished += bytes;
  }

  /** The last record is whole. */
  finish(endOfRecord: boolean): void {
    if (this.#records === this.#lengths.length) this.#grow();
    const last = (this.#first + this.#records) % this.#lengths.length;
    this.#lengths[last] = this.#unfinished * 2 + (endOfRecord ? 1 : 0);
    this.#records++;
    this.#unfinished = 0;
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

  /** Drops the record whose end has not come; gives its size so far. */
  dropUnfinished(): number {
    const bytes = this.#unfinished;
    this.#bytes.drop(bytes);
    this.#unfinished = 0;
    return bytes;
  }

  /** Whether the first record has the mark of its end. */
  get firstHasEnd(): boolean {
    return (this.#lengths[this.#first] ?? 0) % 2 === 1;
  }

  /** The bytes of the first record; valid until the queue changes. */
  first(): Uint8Array {
    return this.#bytes.first(this.#firstLength);
  }

  get #firstLength(): number {
    return Math.floor((this.#lengths[this.#first] ?? 0) / 2);
  }

  /** Forgets the first record; gives its size. */
  shift(): number {
    const length = this.#firstLength;
    this.#first = (this.#first + 1) % this.#lengths.length;
    this.#records--;
    this.#bytes.shift(length);
    // Many small ones are rare: their numbers go with them.
    if (this.#records === 0 && this.#lengths.length > FIRST_RECORDS) {
      this.#lengths = new Float64Array(FIRST_RECORDS);
      this.#first = 0;
    }
    return length;
  }
}
