/**
 * Decides how many clients of a listening socket are accepted in one round. Mostly one waits, and a second
 * accept4(2) would only report that no other one does; while clients wait in each round, more are accepted.
 */
export class AcceptLimit {
  readonly #most: number;
  #clients = 1;
  #wasReady = false;

  /** @param most clients in one round. */
  constructor(most: number) {
    this.#most = most;
  }

  /** How many clients may be accepted in this round. */
  get clients(): number {
    return this.#clients;
  }

  /** As many as allowed were accepted: more may wait. */
  onFull(): void {
    this.#wasReady = true;
    this.#clients = Math.min(this.#clients * 2, this.#most);
  }

  /** The last client was accepted. */
  onEmpty(): void {
    this.#clients = 1;
  }

  /** A round has ended. */
  onRound(): void {
    if (!this.#wasReady) this.#clients = 1;
    this.#wasReady = false;
  }
}
