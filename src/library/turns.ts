/** Turns of operations that must not overlap: each begins when the one before has ended. */

/** A queue of operations, first come, first served. */
export class Turns {
  readonly #waiting = new Set<() => void>();
  #isTaken = false;

  /** Calls `begin` when it is the caller's turn, which lasts until {@link end}; until disposed. */
  next(begin: () => void): Disposable {
    if (this.#isTaken) {
      this.#waiting.add(begin);
    } else {
      this.#isTaken = true;
      begin();
    }
    return { [Symbol.dispose]: () => void this.#waiting.delete(begin) };
  }

  /** Ends the turn of the caller. */
  end(): void {
    const [begin] = this.#waiting;
    if (begin === undefined) {
      this.#isTaken = false;
      return;
    }
    this.#waiting.delete(begin);
    begin();
  }
}
