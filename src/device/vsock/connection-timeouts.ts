/**
 * Deadlines of connections: the guest has to answer the host's REQUEST, and has to send an RST after
 * both directions have ended. Each set is in the order of its deadlines, since all of a kind have the
 * same timeout.
 */
import type { HostConnection } from "./host-connection.ts";

/** How long the guest may take to send the RST of a connection that both sides have ended. */
const CLOSE_TIMEOUT_MS = 2000;

/** Kinds of timeouts. */
export type TimeoutKind = "connect" | "close";

/** The connections of one VM that have a deadline. */
export class ConnectionTimeouts {
  readonly #connecting = new Set<HostConnection>();
  readonly #closing = new Set<HostConnection>();
  readonly #onExpired: (connection: HostConnection, kind: TimeoutKind) => void;

  /** @param onExpired called from {@link onTime}; ends the connection. */
  constructor(onExpired: (connection: HostConnection, kind: TimeoutKind) => void) {
    this.#onExpired = onExpired;
  }

  /** Starts to wait for the answer to the host's REQUEST. */
  startConnect(connection: HostConnection, deadline: number): void {
    connection.deadline = deadline;
    this.#connecting.add(connection);
  }

  /** Ends the wait for the answer. */
  endConnect(connection: HostConnection): void {
    this.#connecting.delete(connection);
  }

  /** Starts to wait for the guest's RST, unless a deadline is set. */
  startClose(connection: HostConnection): void {
    if (connection.deadline !== undefined) return;
    connection.deadline = performance.now() + CLOSE_TIMEOUT_MS;
    this.#closing.add(connection);
  }

  /** Removes a connection that has ended. */
  remove(connection: HostConnection): void {
    this.#connecting.delete(connection);
    this.#closing.delete(connection);
  }

  /** Ends the connections whose deadline has passed, by performance.now(). */
  onTime(now: number): void {
    for (const connection of this.#connecting) {
      if ((connection.deadline ?? Infinity) > now) break;
      this.#onExpired(connection, "connect");
    }
    for (const connection of this.#closing) {
      if ((connection.deadline ?? Infinity) > now) return;
      this.#closing.delete(connection);
      if (connection.waiting > 0) {
        // A program on the host reads slowly; the guest cannot send its RST before.
        connection.deadline = now + CLOSE_TIMEOUT_MS;
        this.#closing.add(connection);
      } else this.#onExpired(connection, "close");
    }
  }

  /** Removes all connections. */
  clear(): void {
    this.#connecting.clear();
    this.#closing.clear();
  }
}
