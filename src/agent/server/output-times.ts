/** When the bytes of a piece of output were written. */

/** Times that differ by less are kept as one, in milliseconds. */
const RESOLUTION_MS = 10;

/** Two numbers in arrays of the engine, in bytes. */
const ENTRY_BYTES = 16;

/**
 * Entries at most: of a full piece, 4096 bytes, they and the piece's overhead hold no more memory than its
 * bytes do.
 */
const MAX_ENTRIES = 241;

/** Offsets in ascending order, each with the time from which on bytes were written there. */
export class OutputTimes {
  #offsets: number[];
  #times: number[];

  /** @param timeMs when the first bytes, at `offset`, were written, in milliseconds since 1970. */
  constructor(offset: number, timeMs: number) {
    this.#offsets = [offset];
    this.#times = [timeMs];
  }

  /** Memory of the entries after the first one, in bytes. */
  get heldBytes(): number {
    return (this.#offsets.length - 1) * ENTRY_BYTES;
  }

  /** Notes that the bytes from `offset` on were written at `timeMs`. */
  add(offset: number, timeMs: number): void {
    const sinceLastMs = timeMs - (this.#times.at(-1) ?? timeMs);
    // A clock that was set back begins an entry too.
    if (sinceLastMs >= 0 && sinceLastMs < RESOLUTION_MS) return;
    if (this.#offsets.length === MAX_ENTRIES) this.#thinOut();
    this.#offsets.push(offset);
    this.#times.push(timeMs);
  }

  /** Drops the entries of bytes before `offset` alone. */
  dropBefore(offset: number): void {
    const count = Math.max(
      0,
      this.#offsets.findLastIndex((begin) => begin <= offset),
    );
    this.#offsets.splice(0, count);
    this.#times.splice(0, count);
  }

  /** Drops every other entry: bytes between two that are kept get the time of the earlier one. */
  #thinOut(): void {
    const isKept = (_: number, index: number) => index % 2 === 0;
    this.#offsets = this.#offsets.filter(isKept);
    this.#times = this.#times.filter(isKept);
  }

  /** Returns the time of the byte at `offset`, and the offset of the first byte of another time. */
  at(offset: number): { timeMs: number; endOffset: number } {
    const index = this.#offsets.findLastIndex((begin) => begin <= offset);
    return {
      timeMs: this.#times[index] ?? 0,
      endOffset: this.#offsets[index + 1] ?? Infinity,
    };
  }

  /** Returns the offset of the first byte that was written at `timeMs` or later; undefined: none. */
  firstSince(timeMs: number): number | undefined {
    const index = this.#times.findIndex((time) => time >= timeMs);
    return index === -1 ? undefined : this.#offsets[index];
  }
}
