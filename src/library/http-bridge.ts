/**
 * Carries the runtime's HTTP over any address. Its client and its server speak over Unix sockets; so each has
 * a private one, and every connection of it is joined to one of the address:
 *
 *   client   fetch -> private socket -> {@link ClientBridge} -> dial(address)
 *   server   listen(address) -> {@link ServerBridge} -> private socket -> Bun.serve
 */
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { pumpToClose } from "../io/pump.ts";
import type { SocketStream } from "../io/stream.ts";
import type { SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { dial, type DialOptions } from "../net/dial.ts";
import { listen, type Listener } from "../net/listen.ts";
import { PrivateSocketPath } from "./private-socket.ts";

/** Joined connections, of which some are still being made. */
class JoinedConnections {
  readonly #closing = new AbortController();
  readonly #open = new Set<Promise<void>>();
  readonly #dialing = new Set<Promise<SocketStream>>();
  #change: (() => void) | undefined;

  get count(): number {
    return this.#open.size;
  }

  /**
   * Joins a connection to the one that `connect` makes, until both have ended.
   *
   * @param connect its signal fires if the first connection ends before, or at {@link abort}.
   * @param onFailure called if it could not be made.
   */
  join(
    near: SocketStream,
    connect: (signal: AbortSignal) => Promise<SocketStream>,
    onFailure: (error: VsockboxError) => void,
  ): void {
    const joined = this.#join(near, connect, onFailure).finally(() => {
      this.#open.delete(joined);
      this.#change?.();
    });
    this.#open.add(joined);
  }

  async #join(
    near: SocketStream,
    connect: (signal: AbortSignal) => Promise<SocketStream>,
    onFailure: (error: VsockboxError) => void,
  ): Promise<void> {
    near.abortOn(this.#closing.signal);
    const ended = new AbortController();
    // A peer that has half-closed still reads the answer.
    void near.peerEnded.then(() => near.isPeerGone && ended.abort());
    const dialing = connect(AbortSignal.any([ended.signal, this.#closing.signal]));
    this.#dialing.add(dialing);
    try {
      const far = await dialing;
      far.abortOn(this.#closing.signal);
      this.#dialing.delete(dialing);
      // One that breaks aborts the other, which is all that its reader can be shown.
      await pumpToClose(near, far).catch(() => undefined);
    } catch (thrown) {
      this.#dialing.delete(dialing);
      onFailure(toVsockboxError(thrown, "connect"));
      near.abort();
    }
  }

  /** Resolves when no connection is being made any more. */
  async made(): Promise<void> {
    await Promise.allSettled(this.#dialing);
  }

  /** Resolves when all have ended. */
  async ended(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  /** Resolves when there are fewer than `limit`. */
  async fewerThan(limit: number): Promise<void> {
    while (this.count >= limit) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#change = resolve;
      await promise;
    }
  }

  /** Closes all at once. */
  abort(reason: VsockboxError): void {
    this.#closing.abort(reason);
  }
}

/** A private socket whose connections lead to an address. */
export class ClientBridge implements AsyncDisposable {
  readonly #socket = new PrivateSocketPath();
  readonly #listener: Listener;
  readonly #connections = new JoinedConnections();
  #failures = 0;
  #lastFailure: VsockboxError | undefined;
  #closing: VsockboxError | undefined;

  /** @param options for each connection to the address. */
  constructor(address: SocketAddress, options: Omit<DialOptions, "signal" | "seqpacket">) {
    try {
      this.#listener = listen(
        { kind: "unix", path: this.#socket.path },
        {
          allowed: "any",
          onConnection: (near) =>
            this.#connections.join(
              near,
              (signal) => dial(address, { ...options, signal }),
              (error) => this.#onFailure(error),
            ),
        },
      );
    } catch (thrown) {
      this.#socket[Symbol.dispose]();
      throw thrown;
    }
  }

  /** The path of the private socket. */
  get path(): string {
    return this.#socket.path;
  }

  /** Counts the connections that could not be made. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Returns why a connection could not be made since there were `count` {@link failures}, or that this side
   * has closed all.
   */
  failureSince(count: number): VsockboxError | undefined {
    return this.#closing ?? (this.#failures > count ? this.#lastFailure : undefined);
  }

  #onFailure(error: VsockboxError): void {
    if (error.code === "ABORTED") return;
    this.#failures++;
    this.#lastFailure = error;
  }

  /** Accepts no more connections and removes the socket. The open ones go on. */
  stopAccepting(): void {
    this.#listener.close();
    this.#socket[Symbol.dispose]();
  }

  /** Closes the socket and all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= closedHere();
    this.stopAccepting();
    this.#connections.abort(this.#closing);
    await this.#connections.ended();
  }
}

/** Options of {@link ServerBridge}. */
export interface ServerBridgeOptions {
  allowed: AllowedCids;
  /** Limit of the connections at a time; further ones wait in the kernel's backlog. */
  maxConnections: number;
}

/** A listener at an address whose connections lead to a server on a private socket. */
export class ServerBridge {
  readonly #socket: PrivateSocketPath;
  readonly #listener: Listener;
  readonly #connections = new JoinedConnections();

  /**
   * @param socket the private socket, which this owns; the server listens there already.
   * @throws {VsockboxError} as `listen`.
   */
  constructor(
    socket: PrivateSocketPath,
    address: SocketAddress,
    { allowed, maxConnections }: ServerBridgeOptions,
  ) {
    this.#socket = socket;
    const own: SocketAddress = { kind: "unix", path: socket.path };
    this.#listener = listen(address, {
      allowed,
      onConnection: (near) =>
        this.#connections.join(
          near,
          (signal) => dial(own, { signal }),
          () => undefined,
        ),
      beforeNext: () =>
        this.#connections.count < maxConnections
          ? undefined
          : this.#connections.fewerThan(maxConnections),
    });
  }

  /** The address, with the port that the kernel chose. */
  get address(): SocketAddress {
    return this.#listener.address;
  }

  /** Accepts no more connections; resolves when each accepted one has reached the server. */
  async stopAccepting(): Promise<void> {
    this.#listener.close();
    await this.#connections.made();
  }

  /** Resolves when all connections have ended, and removes the private socket. */
  async finish(): Promise<void> {
    await this.#connections.ended();
    this.#socket[Symbol.dispose]();
  }

  /** Closes all connections at once. */
  abort(): void {
    this.#connections.abort(closedHere());
  }
}

function closedHere(): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "use the connection",
    message: "it was closed on this side",
  });
}
