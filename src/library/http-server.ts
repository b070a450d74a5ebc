/** HTTP servers at any address. */
import type { Server, WebSocketHandler } from "bun";
import { Addr } from "./addr.ts";
import { type AddressLike, partsOf } from "./dial.ts";
import { ServerBridge } from "./http-bridge.ts";
import { PrivateSocketPath } from "./private-socket.ts";

/** Default limit of connections at a time: with two descriptors each it stays below the usual 1,024. */
const DEFAULT_MAX_CONNECTIONS = 256;

/** Options of {@link serveAt}. `Data` is the type of the data of its WebSockets, as in `Bun.serve`. */
export interface HttpServeOptions<Data = undefined> {
  /** The address to listen on, in any form. A Unix socket has mode 0600. */
  address: AddressLike;
  /** Answers a request; undefined after `server.upgrade(request)`. */
  fetch: (
    request: Request,
    server: Server<Data>,
  ) => Response | undefined | Promise<Response | undefined>;
  /** Handles WebSockets, as in `Bun.serve`. */
  websocket?: WebSocketHandler<Data> | undefined;
  /** Answers a request whose handler has thrown. */
  error?: ((error: Error) => Response | Promise<Response>) | undefined;
  /** Whose connections are accepted, by CID (default: any); others are closed at once. */
  allowCids?: "any" | readonly number[] | undefined;
  /** Connections at a time; further ones wait (default 256). */
  maxConnections?: number | undefined;
  /** Time without bytes after which a connection is closed, in seconds up to 255 (default 10; 0: never). */
  idleTimeoutSeconds?: number | undefined;
  /** Largest body of a request, in bytes (default 128 MiB). */
  maxRequestBodyBytes?: number | undefined;
}

/** A running server. */
export class ServerAtAddress implements AsyncDisposable {
  /** The address, with the port that the kernel chose. */
  readonly address: Addr;
  readonly #server: Server<unknown>;
  readonly #bridge: ServerBridge;
  #stopping: Promise<void> | undefined;

  /** Made by {@link serveAt}. */
  constructor(server: Server<unknown>, bridge: ServerBridge) {
    this.#server = server;
    this.#bridge = bridge;
    this.address = new Addr(bridge.address);
  }

  /** Requests that are not answered yet. */
  get pendingRequests(): number {
    return this.#server.pendingRequests;
  }

  /**
   * Stops accepting connections; resolves when all requests that have come are answered.
   *
   * @param closesAll closes all connections at once instead.
   */
  stop(closesAll: boolean = false): Promise<void> {
    if (closesAll) this.#bridge.abort();
    this.#stopping ??= this.#finish();
    if (closesAll) void this.#server.stop(true);
    return this.#stopping;
  }

  async #finish(): Promise<void> {
    await this.#bridge.stopAccepting();
    await this.#server.stop();
    await this.#bridge.finish();
  }

  /** Closes all connections at once. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(true);
  }
}

/**
 * Serves HTTP at an address. The server keeps the process running until {@link ServerAtAddress.stop}.
 *
 * @throws {VsockboxError} as `listen`.
 */
export function serveAt<Data = undefined>(options: HttpServeOptions<Data>): ServerAtAddress {
  const { allowCids = "any", maxConnections = DEFAULT_MAX_CONNECTIONS } = options;
  if (!(maxConnections >= 1)) throw new RangeError(`maxConnections is less than 1`);
  const address = partsOf(options.address);
  const socket = new PrivateSocketPath();
  const server = startServer(socket.path, options);
  try {
    const allowed = allowCids === "any" ? "any" : new Set(allowCids);
    return new ServerAtAddress(
      server,
      new ServerBridge(socket, address, { allowed, maxConnections }),
    );
  } catch (thrown) {
    void server.stop(true);
    socket[Symbol.dispose]();
    throw thrown;
  }
}

function startServer<Data>(path: string, options: HttpServeOptions<Data>): Server<Data> {
  const { fetch, websocket, error, idleTimeoutSeconds, maxRequestBodyBytes } = options;
  const defined = Object.fromEntries(
    Object.entries({
      ...{ websocket, error },
      idleTimeout: idleTimeoutSeconds,
      maxRequestBodySize: maxRequestBodyBytes,
    }).filter(([, value]) => value !== undefined),
  );
  // The runtime's types tie `websocket` to the type of its data in ways that options cannot carry.
  const all = { unix: path, fetch, development: false, ...defined };
  return Bun.serve(all as unknown as Parameters<typeof Bun.serve<Data>>[0]);
}
