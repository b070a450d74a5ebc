/** The open connections of an agent and the requests that it serves on each. */
import { formatPeer, type Peer } from "../../io/peer.ts";
import {
  type ConnectionRecord,
  MAX_NAMED_REQUESTS,
} from "../../protocols/agent/connection-records.ts";

/** The facts of a connection that are listed. */
export interface ListedConnection {
  readonly peer: Peer;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

interface Entry {
  id: number;
  /** By performance.now(). */
  since: number;
  /** Texts of running requests, by objects of their own. */
  requests: Map<object, string>;
}

/** The connections of one agent, in the order in which they were accepted. */
export class ConnectionList {
  #lastId = 0;
  readonly #entries = new Map<ListedConnection, Entry>();

  /** Adds a connection. */
  opened(connection: ListedConnection): void {
    const since = performance.now();
    this.#entries.set(connection, { id: ++this.#lastId, since, requests: new Map() });
  }

  /** Removes a connection. */
  closed(connection: ListedConnection): void {
    this.#entries.delete(connection);
  }

  /** Lists a request with its connection until it is disposed. */
  begin(connection: ListedConnection, request: string): Disposable {
    const requests = this.#entries.get(connection)?.requests;
    const key = {};
    requests?.set(key, request);
    return { [Symbol.dispose]: () => void requests?.delete(key) };
  }

  /** Returns all connections as they are now. */
  describe(): ConnectionRecord[] {
    const now = performance.now();
    return [...this.#entries].map(
      ([{ peer, receivedBytes, sentBytes }, { id, since, requests }]) => ({
        id,
        peer: formatPeer(peer),
        ageMs: Math.round(now - since),
        receivedBytes,
        sentBytes,
        requestCount: requests.size,
        requests: [...requests.values()].slice(0, MAX_NAMED_REQUESTS),
      }),
    );
  }
}
