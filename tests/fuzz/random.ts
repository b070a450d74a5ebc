/** Random numbers that a seed brings back. */

/** xorshift32: fast, and good enough to pick mutations. */
export class Random {
  #state = 1;

  /** Begins again, for one input of a run: inputs do not depend on the ones before them. */
  begin(seed: number, index: number): void {
    // The multipliers spread neighbouring seeds and indexes over the whole state.
    this.#state =
      (Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(index + 1, 0xc2b2_ae35)) | 0;
    if (this.#state === 0) this.#state = 0x1234_5678;
    this.next();
    this.next();
  }

  /** Any u32. */
  next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }

  /** A whole number from 0, below `end`. */
  below(end: number): number {
    return this.next() % end;
  }

  /** One of the list. */
  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }
}
