/** What a detached command wrote: the last part of it is kept, and every byte has its offset. */

/** A piece of output. */
export interface LogPiece {
  /** Of its first byte, counted from the command's first output. */
  offset: number;
  stream: number;
  bytes: Uint8Array;
}

/** Small pieces are put together up to this size, in bytes. */
const MERGE_BYTES = 4096;

/** Output of bounded size; readers wait for its changes. */
export class OutputLog {
  readonly #maxBytes: number;
  readonly #pieces: LogPiece[] = [];
  #end = 0;
  #changed = Promise.withResolvers<void>();

  /** @param maxBytes how much is kept; what is older is dropped. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Offset of the oldest byte that is kept. */
  get begin(): number {
    return this.#pieces[0]?.offset ?? this.#end;
  }

  /** Offset behind the last byte. */
  get end(): number {
    return this.#end;
  }

  /** Adds output; never waits for readers. */
  append(stream: number, bytes: Uint8Array): void {
    const last = this.#pieces.at(-1);
    if (last?.stream === stream && last.bytes.length + bytes.length <= MERGE_BYTES) {
      last.bytes = Buffer.concat([last.bytes, bytes]);
    } else {
      this.#pieces.push({ offset: this.#end, stream, bytes: Uint8Array.from(bytes) });
    }
    this.#end += bytes.length;
    this.#dropOldest();
    this.#wake();
  }

  #dropOldest(): void {
    for (;;) {
      const [first] = this.#pieces;
      const excess = this.#end - this.begin - this.#maxBytes;
      if (first === undefined || excess <= 0) return;
      if (first.bytes.length <= excess) this.#pieces.shift();
      else {
        first.offset += excess;
        first.bytes = first.bytes.subarray(excess);
      }
    }
  }

  /** No more output will come. */
  finish(): void {
    this.#wake();
  }

  /** Resolves at the next change: more output, its end, or {@link wake}. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** The piece at `offset`, or the oldest one where that is gone already; undefined at the end. */
  read(offset: number): LogPiece | undefined {
    return this.#at(offset);
  }

  /** Lets all waiting readers look again. */
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
    if (piece === undefined || piece.offset >= offset) return piece;
    const bytes = piece.bytes.subarray(offset - piece.offset);
    return { offset, stream: piece.stream, bytes };
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }
}
