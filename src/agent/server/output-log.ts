/** Output of a detached command: the latest bytes are kept, each with its offset in the whole output. */

import type { Stream } from "../../protocols/agent/channel-frames.ts";
import type { BudgetShare, MemoryBudget } from "../channel/memory-budget.ts";

/** A piece of output. */
export interface LogPiece {
  /** Of its first byte, counted from the command's first output. */
  offset: number;
  stream: Stream;
  bytes: Uint8Array;
}

/** Small pieces are merged up to this size, in bytes. */
const MERGE_BYTES = 4096;

/** Memory of a piece besides its bytes, in bytes: measured with a million pieces of one byte. */
const PIECE_OVERHEAD_BYTES = 256;

/** A piece, and the memory that it holds though its first bytes may have been dropped. */
type HeldPiece = LogPiece & { heldBytes: number };

/** Output of bounded size; readers wait for its changes. */
export class OutputLog {
  readonly #maxBytes: number;
  readonly #share: BudgetShare | undefined;
  readonly #pieces: HeldPiece[] = [];
  #end = 0;
  #heldBytes = 0;
  #changed = Promise.withResolvers<void>();

  /**
   * @param maxBytes limit of the kept bytes; the oldest are dropped.
   * @param budget limit of all buffers; the log shrinks if others need the memory.
   */
  constructor(maxBytes: number, budget?: MemoryBudget) {
    this.#maxBytes = maxBytes;
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
      this.#hold(last, merged.length + PIECE_OVERHEAD_BYTES);
    } else {
      const piece = { offset: this.#end, stream, bytes: bytes.slice(), heldBytes: 0 };
      this.#pieces.push(piece);
      this.#hold(piece, bytes.length + PIECE_OVERHEAD_BYTES);
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

  #hold(piece: HeldPiece, heldBytes: number): void {
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
        const isMostlyDropped = first.heldBytes > 2 * (first.bytes.length + PIECE_OVERHEAD_BYTES);
        if (isMostlyDropped) this.#compactFirst();
      }
    }
    const limitBytes = 2 * this.#maxBytes + PIECE_OVERHEAD_BYTES;
    if (this.#heldBytes > limitBytes) this.#compactFirst();
    // Pieces of a few bytes hold much more memory than their bytes.
    while (this.#heldBytes > limitBytes && this.#dropFirst());
    while (this.#share?.resize(this.#heldBytes) === false && this.#dropFirst());
  }

  /** Frees the dropped bytes of the oldest piece, the only one that can have some. */
  #compactFirst(): void {
    const [first] = this.#pieces;
    if (first === undefined) return;
    first.bytes = first.bytes.slice();
    this.#hold(first, first.bytes.length + PIECE_OVERHEAD_BYTES);
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
    return this.#at(offset);
  }

  /** Resolves {@link changed}, so that waiting readers check again. */
  wake(): void {
    this.#wake();
  }

  #at(offset: number): LogPiece | undefined {
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
    };
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }
}
