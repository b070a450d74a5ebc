/** Output of a detached command: the latest bytes are kept, each with its offset in the whole output. */

import type { Stream } from "../../protocols/agent/channel-frames.ts";
import type { BudgetShare, MemoryBudget } from "../channel/memory-budget.ts";
import { OutputTimes } from "./output-times.ts";

/** A piece of output. */
export interface LogPiece {
  /** Of its first byte, counted from the command's first output. */
  offset: number;
  stream: Stream;
  bytes: Uint8Array;
}

/** A piece of output whose bytes were written at about one time, in milliseconds since 1970. */
export type TimedPiece = LogPiece & { timeMs: number };

/** Small pieces are merged up to this size, in bytes. */
const MERGE_BYTES = 4096;

/** Memory of a piece besides its bytes, in bytes: measured with a million pieces of one byte. */
const PIECE_OVERHEAD_BYTES = 256;

/** A piece, and the memory that it holds though its first bytes may have been dropped. */
type HeldPiece = LogPiece & { heldBytes: number; times: OutputTimes };

const LINE_FEED = 0x0a;

/** Output of bounded size; readers wait for its changes. */
export class OutputLog {
  readonly #maxBytes: number;
  readonly #share: BudgetShare | undefined;
  readonly #now: () => number;
  readonly #pieces: HeldPiece[] = [];
  #end = 0;
  #heldBytes = 0;
  #changed = Promise.withResolvers<void>();

  /**
   * @param maxBytes limit of the kept bytes; the oldest are dropped.
   * @param budget limit of all buffers; the log shrinks if others need the memory.
   * @param now the clock, in milliseconds since 1970.
   */
  constructor(maxBytes: number, budget?: MemoryBudget, now: () => number = Date.now) {
    this.#maxBytes = maxBytes;
    this.#now = now;
    this.#share = budget?.share((bytes) => this.#shrinkTo(bytes));
  }

  /** Offset of the oldest byte that is kept. */
  get begin(): number {
    return this.#pieces[0]?.offset ?? this.#end;
  }

  /** Offset after the last byte. */
  get end(): number {
    return this.#end;
  }

  /** Memory that the kept pieces hold, in bytes. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Adds output; never waits for readers. */
  append(stream: Stream, bytes: Uint8Array): void {
    const last = this.#pieces.at(-1);
    if (last?.stream === stream && last.bytes.length + bytes.length <= MERGE_BYTES) {
      const merged = new Uint8Array(last.bytes.length + bytes.length);
      merged.set(last.bytes);
      merged.set(bytes, last.bytes.length);
      last.bytes = merged;
      last.times.add(this.#end, this.#now());
      this.#hold(last);
    } else {
      const times = new OutputTimes(this.#end, this.#now());
      const piece = { offset: this.#end, stream, bytes: bytes.slice(), heldBytes: 0, times };
      this.#pieces.push(piece);
      this.#hold(piece);
    }
    this.#end += bytes.length;
    this.#dropOldest();
    this.#wake();
  }

  /** Drops everything, for good. */
  discard(): void {
    while (this.#dropFirst());
    this.#share?.release();
    this.#wake();
  }

  /** Counts the memory of a piece whose bytes are all kept. */
  #hold(piece: HeldPiece): void {
    const heldBytes = memoryOf(piece);
    this.#heldBytes += heldBytes - piece.heldBytes;
    piece.heldBytes = heldBytes;
  }

  #dropOldest(): void {
    for (;;) {
      const [first] = this.#pieces;
      const excess = this.#end - this.begin - this.#maxBytes;
      if (first === undefined || excess <= 0) break;
      if (first.bytes.length <= excess) this.#dropFirst();
      else {
        first.offset += excess;
        first.bytes = first.bytes.subarray(excess);
        const isMostlyDropped = first.heldBytes > 2 * memoryOf(first);
        if (isMostlyDropped) this.#compactFirst();
      }
    }
    // The times of the newest piece must not displace its bytes.
    const timesBytes = this.#pieces.at(-1)?.times.heldBytes ?? 0;
    const limitBytes = 2 * this.#maxBytes + PIECE_OVERHEAD_BYTES + timesBytes;
    if (this.#heldBytes > limitBytes) this.#compactFirst();
    // Pieces of a few bytes hold much more memory than their bytes.
    while (this.#heldBytes > limitBytes && this.#dropFirst());
    while (this.#share?.resize(this.#heldBytes) === false && this.#dropFirst());
  }

  /** Frees the dropped bytes of the oldest piece, the only one that can have some, and their times. */
  #compactFirst(): void {
    const [first] = this.#pieces;
    if (first === undefined) return;
    first.bytes = first.bytes.slice();
    first.times.dropBefore(first.offset);
    this.#hold(first);
  }

  #dropFirst(): boolean {
    const first = this.#pieces.shift();
    if (first !== undefined) this.#heldBytes -= first.heldBytes;
    return first !== undefined;
  }

  /** Called by the budget. */
  #shrinkTo(bytes: number): void {
    while (this.#heldBytes > bytes && this.#dropFirst());
    this.#share?.resize(this.#heldBytes);
  }

  /** Marks the end of the output. */
  finish(): void {
    this.#wake();
  }

  /** Resolves at the next change: more output, its end, or {@link wake}. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Returns the piece at `offset`, or the oldest one if that has been dropped; undefined at the end. */
  read(offset: number): LogPiece | undefined {
    const piece = this.#at(offset);
    return piece && { offset: piece.offset, stream: piece.stream, bytes: piece.bytes };
  }

  /** Returns the piece at `offset` as {@link read} does, up to the first byte of another time. */
  readTimed(offset: number): TimedPiece | undefined {
    const piece = this.#at(offset);
    if (piece === undefined) return undefined;
    const { timeMs, endOffset } = piece.times.at(piece.offset);
    const bytes = piece.bytes.subarray(0, endOffset - piece.offset);
    return { offset: piece.offset, stream: piece.stream, bytes, timeMs };
  }

  /** Returns the offset of the first kept byte that was written at `timeMs` or later, else the end. */
  offsetSince(timeMs: number): number {
    for (const { offset, times } of this.#pieces) {
      const found = times.firstSince(timeMs);
      if (found !== undefined) return Math.max(found, offset);
    }
    return this.#end;
  }

  /** Returns the offset at which the last `count` lines begin, of both streams together. */
  offsetOfLastLines(count: number): number {
    if (count === 0) return this.#end;
    // The line feed at the very end ends the last line.
    let left = this.#pieces.at(-1)?.bytes.at(-1) === LINE_FEED ? count + 1 : count;
    for (const { offset, bytes } of this.#pieces.toReversed()) {
      for (let at = bytes.lastIndexOf(LINE_FEED); at !== -1;) {
        if (--left === 0) return offset + at + 1;
        // A negative index would count from the end.
        at = at === 0 ? -1 : bytes.lastIndexOf(LINE_FEED, at - 1);
      }
    }
    return this.begin;
  }

  /** Resolves {@link changed}, so that waiting readers check again. */
  wake(): void {
    this.#wake();
  }

  #at(offset: number): (LogPiece & { times: OutputTimes }) | undefined {
    if (offset >= this.#end) return undefined;
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#pieces[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low];
    if (piece === undefined) return undefined;
    const begin = Math.max(offset, piece.offset);
    return {
      offset: begin,
      stream: piece.stream,
      bytes: piece.bytes.subarray(begin - piece.offset),
      times: piece.times,
    };
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }
}

/** Memory of a piece of which nothing has been dropped, in bytes. */
function memoryOf({ bytes, times }: LogPiece & { times: OutputTimes }): number {
  return bytes.length + PIECE_OVERHEAD_BYTES + times.heldBytes;
}
