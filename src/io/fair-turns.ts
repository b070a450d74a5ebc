/** Fair turns: one that moves many bytes without a wait lets everything else run in between. */

/** Bytes that are moved without a turn of the event loop. */
const TURN_BYTES = 1024 * 1024;

/** Resolves in the next turn of the event loop. */
export const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** Counts the bytes of one mover. */
export class FairTurns {
  #bytes = 0;

  /**
   * Counts bytes that were moved without a wait.
   *
   * @returns a promise if the mover has to give way, until that resolves.
   */
  moved(bytes: number): Promise<void> | undefined {
    this.#bytes += bytes;
    if (this.#bytes < TURN_BYTES) return undefined;
    this.#bytes = 0;
    return nextTurn();
  }

  /** Begins anew after the mover has waited. */
  waited(): void {
    this.#bytes = 0;
  }
}
