/**
 * Limits the connections of a server whose clients should never have to wait for one that does nothing: a
 * new connection replaces the one that has waited longest for its client. Only if the server works for all of
 * them, further ones stay in the backlog.
 */

/** The connections of one server. */
export class ConnectionLimit<C> {
  readonly #most: number;
  readonly #close: (connection: C) => void;
  /** Those that wait for their clients, the longest first. */
  readonly #waiting = new Set<C>();
  readonly #busy = new Set<C>();
  #change: PromiseWithResolvers<void> | undefined;

  /**
   * @param most how many there may be.
   * @param close closes a connection, which {@link remove} is called for afterwards.
   */
  constructor(most: number, close: (connection: C) => void) {
    this.#most = most;
    this.#close = close;
  }

  /** How many there are. */
  get count(): number {
    return this.#waiting.size + this.#busy.size;
  }

  /** Adds a connection, or notes that it waits for its client again. */
  wait(connection: C): void {
    this.#busy.delete(connection);
    this.#waiting.delete(connection);
    if (this.count >= this.#most) this.#replace();
    this.#waiting.add(connection);
    this.#wake();
  }

  #replace(): void {
    const [longest] = this.#waiting;
    if (longest === undefined) return;
    this.#waiting.delete(longest);
    this.#close(longest);
  }

  /** Notes that the server works for a connection. */
  work(connection: C): void {
    if (this.#waiting.delete(connection)) this.#busy.add(connection);
  }

  /** Forgets a connection that has ended. */
  remove(connection: C): void {
    this.#waiting.delete(connection);
    this.#busy.delete(connection);
    this.#wake();
  }

  #wake(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }

  /** Returns a promise that resolves when another connection has a place; undefined: it has one now. */
  place(): Promise<void> | undefined {
    if (this.count < this.#most || this.#waiting.size > 0) return undefined;
    this.#change ??= Promise.withResolvers();
    return this.#change.promise;
  }

  /** Closes all connections. */
  closeAll(): void {
    for (const connection of [...this.#waiting, ...this.#busy]) this.#close(connection);
  }
}
