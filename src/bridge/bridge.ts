/** The hybrid-vsock Unix socket in front of any address, and listeners in front of such a socket. */
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { ANY, formatAddress, type SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { dial } from "../net/dial.ts";
import { listen, type Listener } from "../net/listen.ts";
import { formatPeer, formatPeerHost } from "../io/peer.ts";
import { RefusalLog } from "../net/refusal-log.ts";
import { pumpToClose } from "../io/pump.ts";
import { withDeadline } from "../io/deadline.ts";
import type { SocketOwners } from "../net/socket-owner.ts";
import type { SocketStream } from "../io/stream.ts";
import {
  ConnectLineReader,
  encodeOk,
  FIRST_ASSIGNED_PORT,
  nextAssignedPort,
} from "../protocols/hybrid/connect-line.ts";

/** Default limit of clients that have not sent their CONNECT line yet. */
export const DEFAULT_MAX_PENDING = 1024;

/** Default limit for a client's CONNECT line, in milliseconds. */
export const DEFAULT_LINE_TIMEOUT_MS = 10_000;

/** Default limit of open connections: as in Firecracker. */
export const DEFAULT_MAX_CONNECTIONS = 1023;

/** Interval of log lines about a flood of clients, in milliseconds. */
const FLOOD_LOG_MS = 10_000;

/** The error of a client that is closed in favour of a newer one. */
const FLOODED = handshakeError(
  "UNAVAILABLE",
  "too many clients without a CONNECT line: the oldest are closed",
);

/** The error of a client above the limit. */
const FULL = new VsockboxError({
  code: "UNAVAILABLE",
  operation: "bridge",
  message: "as many connections as --max-connections allows: further ones are closed",
});

/** Options of {@link HybridBridge}. */
export interface BridgeOptions {
  maxConnections?: number | undefined;
  maxPending?: number | undefined;
  lineTimeoutMs?: number | undefined;
  /** Users besides our own and root who may listen on Unix sockets that are connected to. */
  socketOwners?: SocketOwners | undefined;
  /** Called for a connection that failed, with its target. */
  onError: (what: string, error: VsockboxError) => void;
}

/**
 * Returns the address for a CONNECT line's port: that port of the CID or of the hybrid socket, or
 * `<path>_<port>` of a plain Unix socket.
 */
export function portOf(target: SocketAddress, port: number): SocketAddress {
  return target.kind === "unix"
    ? { kind: "unix", path: `${target.path}_${port}` }
    : { ...target, port };
}

/** All listeners and connections of one bridge. */
export class HybridBridge {
  readonly #maxConnections: number;
  readonly #maxPending: number;
  readonly #lineTimeoutMs: number;
  readonly #socketOwners: SocketOwners;
  readonly #onError: BridgeOptions["onError"];
  readonly #listeners: Listener[] = [];
  readonly #refusals = new RefusalLog((message) =>
    this.#onError("accept", new VsockboxError({ code: "REFUSED", operation: "accept", message })),
  );
  readonly #streams = new Set<SocketStream>();
  #connections = 0;
  #isClosed = false;
  #quietUntil = 0;
  /** In the order in which they came. */
  readonly #pending = new Set<SocketStream>();
  #assignedPort = FIRST_ASSIGNED_PORT;

  constructor({ maxConnections, maxPending, lineTimeoutMs, socketOwners, onError }: BridgeOptions) {
    this.#socketOwners = socketOwners ?? [];
    this.#maxConnections = maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    this.#maxPending = maxPending ?? DEFAULT_MAX_PENDING;
    this.#lineTimeoutMs = lineTimeoutMs ?? DEFAULT_LINE_TIMEOUT_MS;
    this.#onError = onError;
  }

  /**
   * Makes a Unix socket whose clients choose the port of `target` with a CONNECT line.
   *
   * @returns the listening address.
   * @throws {VsockboxError} CANNOT_CREATE.
   */
  serveHybrid(udsPath: string, target: SocketAddress): SocketAddress {
    return this.#listen({ kind: "unix", path: udsPath }, "any", (stream) =>
      this.#serveClient(stream, target),
    );
  }

  /**
   * Listens on `address` and joins each connection to a new one to `target`.
   *
   * @returns the listening address.
   * @throws {VsockboxError} CANNOT_CREATE, UNAVAILABLE, USAGE.
   */
  serveForward(
    address: SocketAddress,
    target: SocketAddress,
    allowed: AllowedCids = "any",
  ): SocketAddress {
    return this.#listen(address, allowed, (stream) => this.#join(stream, target, undefined));
  }

  /** Closes all listeners and connections. */
  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener.close();
    for (const stream of this.#streams) stream.abort();
  }

  #listen(
    address: SocketAddress,
    allowed: AllowedCids,
    serve: (stream: SocketStream) => Promise<void>,
  ): SocketAddress {
    const listener = listen(address, {
      allowed,
      onConnection: (stream) => void this.#keep(stream, serve),
      onRefusal: (peer) => this.#refusals.note(formatPeerHost(peer), "not in --allow-cid"),
    });
    this.#listeners.push(listener);
    return listener.address;
  }

  async #keep(stream: SocketStream, serve: (stream: SocketStream) => Promise<void>): Promise<void> {
    this.#streams.add(stream);
    try {
      await serve(stream);
    } catch (thrown) {
      const error = toVsockboxError(thrown, "bridge");
      if (!this.#isClosed && this.#isNews(error)) this.#onError(formatPeer(stream.peer), error);
    } finally {
      // Closed with no answer, as the VMMs do.
      stream.abort();
      this.#streams.delete(stream);
    }
  }

  /** A flood is logged at intervals, so that it does not flood the log. */
  #isNews(error: VsockboxError): boolean {
    if (error !== FLOODED && error !== FULL) return true;
    const now = performance.now();
    if (now < this.#quietUntil) return false;
    this.#quietUntil = now + FLOOD_LOG_MS;
    return true;
  }

  async #serveClient(stream: SocketStream, target: SocketAddress): Promise<void> {
    const port = await this.#readConnect(stream);
    if (port === undefined) return;
    await this.#join(stream, portOf(target, port), () => {
      const assigned = this.#assignedPort;
      this.#assignedPort = nextAssignedPort(assigned);
      return stream.write(encodeOk(assigned));
    });
  }

  /** The port; undefined for a client that left without a word. */
  async #readConnect(stream: SocketStream): Promise<number | undefined> {
    this.#makeRoom();
    this.#pending.add(stream);
    const reader = new ConnectLineReader();
    const readLine = async (): Promise<number | undefined> => {
      for (;;) {
        const chunk = await stream.read();
        if (chunk === undefined) {
          if (reader.isEmpty) return undefined;
          throw handshakeError("BAD_DATA", "the client left in the middle of its CONNECT line");
        }
        const line = reader.push(chunk);
        if (line === undefined) continue;
        stream.unread(line.rest);
        return line.port;
      }
    };
    try {
      return await withDeadline(readLine(), {
        milliseconds: this.#lineTimeoutMs,
        timeoutError: () => handshakeError("TIMEOUT", "no CONNECT line in time"),
        onGiveUp: (reason) => stream.abort(reason),
      });
    } finally {
      this.#pending.delete(stream);
    }
  }

  /**
   * The oldest client is closed: one that sends its line at once is served even while others only hold
   * connections.
   */
  #makeRoom(): void {
    const [oldest] = this.#pending;
    if (this.#pending.size < this.#maxPending || oldest === undefined) return;
    this.#pending.delete(oldest);
    oldest.abort(FLOODED);
  }

  async #join(
    stream: SocketStream,
    target: SocketAddress,
    greet: (() => Promise<void>) | undefined,
  ): Promise<void> {
    if (this.#connections >= this.#maxConnections) throw FULL;
    this.#connections++;
    try {
      const other = await this.#dial(stream, target);
      if (other !== undefined) await this.#carry(stream, other, greet);
    } finally {
      this.#connections--;
    }
  }

  async #carry(
    stream: SocketStream,
    other: SocketStream,
    greet: (() => Promise<void>) | undefined,
  ): Promise<void> {
    this.#streams.add(other);
    try {
      await greet?.().catch((thrown: unknown) => {
        // A client that has closed reads no answer; the bytes that it has sent are still delivered to the guest.
        if (!stream.isPeerGone) throw thrown;
      });
      await pumpToClose(stream, other);
    } finally {
      other.abort();
      this.#streams.delete(other);
    }
  }

  /** Connects for this client; undefined if the client has closed before. */
  async #dial(stream: SocketStream, target: SocketAddress): Promise<SocketStream | undefined> {
    const abandoned = new AbortController();
    let done = false;
    const abandonIfRead = () => {
      // The bytes that it sent before it closed are delivered to the guest.
      if (!done && stream.unreadBytes === 0) abandoned.abort();
    };
    // A client that has only half-closed still waits for its answer.
    void stream.peerEnded.then(() => {
      if (stream.isPeerGone) abandonIfRead();
    });
    void stream.closed.then(abandonIfRead);
    try {
      return await dial(target, {
        signal: abandoned.signal,
        socketOwners: this.#socketOwners,
      });
    } catch (thrown) {
      if (abandoned.signal.aborted) return undefined;
      throw thrown;
    } finally {
      done = true;
    }
  }
}

function handshakeError(code: "BAD_DATA" | "TIMEOUT" | "UNAVAILABLE", message: string) {
  return new VsockboxError({ code, operation: "perform the hybrid-vsock handshake", message });
}

/**
 * Refuses a target that has a port already.
 *
 * @throws {VsockboxError} USAGE.
 */
export function checkTarget(target: SocketAddress): void {
  const fail = (message: string) =>
    new VsockboxError({
      code: "USAGE",
      operation: "bridge to",
      address: formatAddress(target),
      message,
      hint: "name a CID without a port, as in --to vsock:3",
    });
  if (target.kind === "unix") return;
  if (target.port !== undefined) throw fail("the port is what each client's CONNECT line names");
  if (target.kind === "vsock" && target.cid === ANY) {
    throw fail("any CID is for listening, not for connecting");
  }
}
