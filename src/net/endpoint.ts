/** Dials and listens on the local ends of forwards: TCP ports and Unix sockets. */
import type { SocketAddress } from "./address.ts";
import { dial } from "./dial.ts";
import type { Endpoint } from "../text/endpoint.ts";
import { listen } from "./listen.ts";
import type { SocketStream } from "../io/stream.ts";
import { dialTcp, listenTcp } from "./tcp.ts";

/**
 * Connects to an endpoint.
 *
 * @throws {VsockboxError} UNAVAILABLE and others, as `dial` and `dialTcp`.
 */
export function dialEndpoint(endpoint: Endpoint, signal?: AbortSignal): Promise<SocketStream> {
  const unix: SocketAddress = { kind: "unix", path: endpoint.kind === "unix" ? endpoint.path : "" };
  // Services have users of their own, and who forwards has named the path.
  return endpoint.kind === "unix"
    ? dial(unix, { signal, socketOwners: "any" })
    : dialTcp(endpoint.host, endpoint.port);
}

/** A listener on an endpoint. */
export interface EndpointListener {
  /** With the port that the kernel chose, if port 0 was asked for. */
  readonly endpoint: Endpoint;
  close(): void;
}

/** Options of {@link listenEndpoint}. */
export interface EndpointListenOptions {
  /**
   * Called after each connection: if it returns a promise, no further one is accepted before that
   * resolves, and peers wait in the backlog.
   */
  beforeNext?: (() => Promise<void> | undefined) | undefined;
}

/**
 * Listens on an endpoint.
 *
 * @throws {VsockboxError} CANNOT_CREATE, as `listen` and `listenTcp`.
 */
export function listenEndpoint(
  endpoint: Endpoint,
  onConnection: (stream: SocketStream) => void,
  { beforeNext }: EndpointListenOptions = {},
): EndpointListener {
  if (endpoint.kind === "unix") {
    const address: SocketAddress = { kind: "unix", path: endpoint.path };
    const listener = listen(address, { allowed: "any", onConnection, beforeNext });
    return { endpoint, close: () => listener.close() };
  }
  const listener = listenTcp(endpoint.host, endpoint.port, onConnection, beforeNext);
  return { endpoint: { ...endpoint, port: listener.port }, close: () => listener.close() };
}
