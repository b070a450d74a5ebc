/** When the bytes of a piece of output were written. */

/** Times that differ by less are kept as one, in milliseconds. */
const RESOLUTION_MS = 10;

/** Two numbers in arrays of the engine, in bytes. */
const ENTRY_BYTES = 16;

/** Offsets in ascending order, each with the time from which on bytes were written there. */
export class OutputTimes {
  readonly #offsets: number[];
  readonly #times: number[];

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
    this.#offsets.push(offset);
    this.#times.push(timeMs);
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
