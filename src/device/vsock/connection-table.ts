/** The connections of one VM by their ports: the host's, then the guest's. */
import { FIRST_ASSIGNED_PORT, nextAssignedPort } from "../../protocols/hybrid/connect-line.ts";
import type { HostConnection } from "./host-connection.ts";

/** Connections by their two ports. */
export class ConnectionTable {
  readonly #byHostPort = new Map<number, Map<number, HostConnection>>();
  #count = 0;
  #nextHostPort = FIRST_ASSIGNED_PORT;

  /** How many connections there are. */
  get count(): number {
    return this.#count;
  }

  *[Symbol.iterator](): Generator<HostConnection> {
    for (const byGuestPort of this.#byHostPort.values()) yield* byGuestPort.values();
  }

  /** Returns the connection with these ports. */
  find(hostPort: number, guestPort: number): HostConnection | undefined {
    return this.#byHostPort.get(hostPort)?.get(guestPort);
  }

  /** Adds a connection, whose ports are not in use. */
  add(connection: HostConnection): void {
    const { hostPort, guestPort } = connection.vsock;
    let byGuestPort = this.#byHostPort.get(hostPort);
    if (byGuestPort === undefined) this.#byHostPort.set(hostPort, (byGuestPort = new Map()));
    byGuestPort.set(guestPort, connection);
    this.#count++;
  }

  /** Removes a connection; returns false if another one, or none, has its ports. */
  remove(connection: HostConnection): boolean {
    const { hostPort, guestPort } = connection.vsock;
    const byGuestPort = this.#byHostPort.get(hostPort);
    if (byGuestPort?.get(guestPort) !== connection) return false;
    byGuestPort.delete(guestPort);
    if (byGuestPort.size === 0) this.#byHostPort.delete(hostPort);
    this.#count--;
    return true;
  }

  /** Returns a port of the host's side that no connection uses. */
  assignHostPort(): number {
    for (;;) {
      const port = this.#nextHostPort;
      this.#nextHostPort = nextAssignedPort(port);
      if (!this.#byHostPort.has(port)) return port;
    }
  }

  /** Removes all connections. */
  clear(): void {
    this.#byHostPort.clear();
    this.#count = 0;
  }
}
