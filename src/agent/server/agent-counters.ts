/** Counts of an agent since its start, for its metrics. */

/** Why a peer was refused: its CID, the limit of sessions, or the token. */
type RefusalReason = "cid" | "sessions" | "token";

/** How a command was started: over a channel, attached or detached, or by the Go agent's frames. */
type CommandKind = "attached" | "detached" | "go";

/** Bytes that a connection has carried. */
export interface CarriedBytes {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** What an agent has done since its start. All counts only grow. */
export class AgentCounters {
  /** Connections whose handshake has succeeded. */
  sessionsOpened = 0;
  /** Connections that ended with an error. */
  sessionsFailed = 0;
  /** Commands that could not be started. */
  startFailures = 0;
  readonly refusals: Record<RefusalReason, number> = { cid: 0, sessions: 0, token: 0 };
  readonly commandsStarted: Record<CommandKind, number> = { attached: 0, detached: 0, go: 0 };
  readonly #open = new Set<CarriedBytes>();
  #receivedBytes = 0;
  #sentBytes = 0;

  /** Counts the bytes of a connection, until {@link closed} in what it has carried so far. */
  opened(connection: CarriedBytes): void {
    this.#open.add(connection);
  }

  /** Keeps the bytes of a connection that has ended. */
  closed(connection: CarriedBytes): void {
    if (!this.#open.delete(connection)) return;
    this.#receivedBytes += connection.receivedBytes;
    this.#sentBytes += connection.sentBytes;
  }

  /** Bytes of all connections, open and closed. */
  get carried(): CarriedBytes {
    let [receivedBytes, sentBytes] = [this.#receivedBytes, this.#sentBytes];
    for (const connection of this.#open) {
      receivedBytes += connection.receivedBytes;
      sentBytes += connection.sentBytes;
    }
    return { receivedBytes, sentBytes };
  }

  /**
   * Counts a command by the outcome of its start.
   *
   * @throws whatever `start` throws.
   */
  async countStart<T>(kind: CommandKind, start: () => Promise<T>): Promise<T> {
    try {
      const started = await start();
      this.commandsStarted[kind]++;
      return started;
    } catch (thrown) {
      this.startFailures++;
      throw thrown;
    }
  }
}
