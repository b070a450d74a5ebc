/** The sockets of one VM's connections in the event loop. */
import type { EventLoop } from "../../io/event-loop.ts";
import type { HostConnection } from "./host-connection.ts";
import { SOCKET_EVENTS, WRITABLE_SOCKET_EVENTS } from "./socket-events.ts";

/** Receives the events of a connection's socket; see socket-events.ts. */
export type OnSocketEvents = (connection: HostConnection, events: number) => void;

/** Watches the sockets of connections. */
export class ConnectionSockets {
  readonly #loop: EventLoop;
  readonly #onEvents: OnSocketEvents;

  constructor(loop: EventLoop, onEvents: OnSocketEvents) {
    this.#loop = loop;
    this.#onEvents = onEvents;
  }

  /** Starts to watch a socket. */
  add(connection: HostConnection): void {
    const onEvents = this.#onEvents;
    this.#loop.add(connection.fd, SOCKET_EVENTS, (events) => onEvents(connection, events));
  }

  /** Watches the socket's free space as well, or no longer: epoll reports it at each byte read. */
  setWatchesWritable(connection: HostConnection, watches: boolean): void {
    if (connection.watchesWritable === watches) return;
    connection.watchesWritable = watches;
    this.#loop.modify(connection.fd, watches ? WRITABLE_SOCKET_EVENTS : SOCKET_EVENTS);
  }

  /** Stops watching the socket, and closes it. */
  close(connection: HostConnection): void {
    this.#loop.forget(connection.fd);
    connection.close();
  }
}
