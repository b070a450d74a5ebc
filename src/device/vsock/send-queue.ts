/**
 * Connections with packets for the guest, first in, first out. A linked list through the connections
 * themselves, so that nothing is allocated for a packet.
 *
 * While the VM's rate is used up (`holdsData`), connections that have nothing but data wait in a list
 * of their own: an RST or a credit update of another connection does not wait for them.
 */
import type { HostConnection } from "./host-connection.ts";

/** The queue of one VM; a connection is in it at most once. */
export class SendQueue {
  #first: HostConnection | undefined;
  #last: HostConnection | undefined;
  readonly #held = new Set<HostConnection>();
  #holdsData = false;

  /** The next connection; undefined if no connection has a packet that may be sent now. */
  get first(): HostConnection | undefined {
    return this.#first;
  }

  /** How many connections are queued, without those that are held. */
  get length(): number {
    let count = 0;
    for (let next = this.#first; next !== undefined; next = next.nextQueued) count++;
    return count;
  }

  /** Adds a connection at the end if it has a packet and is not queued. */
  push(connection: HostConnection): void {
    const { vsock } = connection;
    if (connection.isQueued || vsock.pending === 0) return;
    if (this.#holdsData && vsock.pendingBesidesData === 0) {
      this.#held.add(connection);
      return;
    }
    connection.isQueued = true;
    if (this.#last === undefined) this.#first = connection;
    else this.#last.nextQueued = connection;
    this.#last = connection;
  }

  /** Whether data waits, since the guest has been sent as much as its rate allows. */
  get holdsData(): boolean {
    return this.#holdsData;
  }

  set holdsData(holds: boolean) {
    this.#holdsData = holds;
    if (holds) return;
    for (const connection of this.#held) this.push(connection);
    this.#held.clear();
  }

  /** Removes the first connection. */
  shift(): void {
    const first = this.#first;
    if (first === undefined) return;
    this.#first = first.nextQueued;
    if (this.#first === undefined) this.#last = undefined;
    first.nextQueued = undefined;
    first.isQueued = false;
  }

  /** Removes a connection that has ended: a guest that offers no buffers never empties the queue. */
  remove(connection: HostConnection): void {
    if (!connection.isQueued) return;
    if (connection === this.#first) return this.shift();
    let before = this.#first;
    while (before !== undefined && before.nextQueued !== connection) before = before.nextQueued;
    if (before === undefined) return;
    before.nextQueued = connection.nextQueued;
    if (this.#last === connection) this.#last = before;
    connection.nextQueued = undefined;
    connection.isQueued = false;
  }

  /** Removes all connections. */
  clear(): void {
    while (this.#first !== undefined) this.shift();
    this.#held.clear();
  }
}
