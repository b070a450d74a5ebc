/**
 * Sockets of connections that have ended for the guest while bytes of it wait for a slow reader on the
 * host. They stay open until the bytes are written, their number is above the limit, or the device ends.
 */
import type { ConnectionSockets } from "./connection-sockets.ts";
import type { HostConnection } from "./host-connection.ts";

/** Options of {@link DrainingSockets}. */
export interface DrainingOptions {
  sockets: ConnectionSockets;
  /** Limit of their number: a guest must not fill the memory with unread bytes. */
  maxConnections: number;
  /** Called with the number of bytes that were dropped. */
  onLost: (bytes: number) => void;
}

/** The draining sockets of one VM, the oldest first. */
export class DrainingSockets {
  readonly #connections = new Set<HostConnection>();
  readonly #options: DrainingOptions;

  constructor(options: DrainingOptions) {
    this.#options = options;
  }

  /** How many there are. */
  get count(): number {
    return this.#connections.size;
  }

  /** Closes the socket of a connection that has ended: at once, or after its queued bytes. */
  release(connection: HostConnection): void {
    const { sockets, maxConnections } = this.#options;
    if (connection.isDraining) return;
    if (!connection.isConnected) return connection.close();
    if (connection.waiting === 0) return sockets.close(connection);
    connection.drain();
    this.#connections.add(connection);
    sockets.setWatchesWritable(connection, true);
    const [oldest] = this.#connections;
    if (oldest !== undefined && this.#connections.size > maxConnections) this.#drop(oldest);
  }

  /** Writes what the socket accepts, and closes it after the last byte. */
  onSocket(connection: HostConnection): void {
    connection.flush();
    if (connection.waiting > 0) return;
    this.#connections.delete(connection);
    this.#options.sockets.close(connection);
  }

  #drop(connection: HostConnection): void {
    const { waitingBytes } = connection;
    this.#connections.delete(connection);
    this.#options.sockets.close(connection);
    this.#options.onLost(waitingBytes);
  }

  /** Unmaps memory of bytes that were read. */
  compact(): void {
    for (const connection of this.#connections) connection.compact();
  }

  /** Closes all of them; their queued bytes are lost. */
  dropAll(): void {
    for (const connection of this.#connections) this.#drop(connection);
  }
}
