/** Decides when garbage of connections is collected, which the runtime would keep for long. */

/** After so many connections there are a few megabytes of it. */
export const CONNECTIONS_TO_COLLECT = 256;

/** The garbage of the devices of one process. */
export class ConnectionGarbage {
  #collected = 0;

  /**
   * Whether to collect it now, which the caller then does: at rest.
   *
   * @param opened number of connections that were opened since the start.
   */
  isDue(opened: number): boolean {
    if (opened - this.#collected < CONNECTIONS_TO_COLLECT) return false;
    this.#collected = opened;
    return true;
  }
}
