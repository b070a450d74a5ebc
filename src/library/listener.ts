/**
 * Listeners of programs. One connection is accepted ahead; the others wait in the kernel's backlog until
 * the program has accepted that one.
 */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "../io/stream.ts";
import type { SocketAddress } from "../net/address.ts";
import { listen } from "../net/listen.ts";
import { Addr } from "./addr.ts";
import { Conn } from "./conn.ts";
import { PendingOperations } from "./pending-operations.ts";

/** Options of `listen` and `listenCid`. */
export interface ConnListenOptions {
  /** Whose connections are accepted, by CID (default: any); others are closed at once. */
  allowCids?: "any" | readonly number[] | undefined;
  /** SOCK_SEQPACKET instead of a stream: each write is one packet, and each read returns one. */
  seqpacket?: boolean | undefined;
}

/** A bound address that accepts connections. Iterate it for them; that ends when it is closed. */
export class ConnListener implements AsyncIterable<Conn>, AsyncDisposable {
  /** The address, with the port that the kernel chose. */
  readonly address: Addr;
  readonly #close: () => void;
  readonly #accepting: PendingOperations;
  /** Connections that no `accept` has returned yet, in the order in which they came. */
  readonly #streams: SocketStream[] = [];
  /** Calls of `accept` that wait, in their order. */
  readonly #waiting = new Set<{ resolve: () => void; reject: (error: VsockboxError) => void }>();
  #capacity: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  /** Made by `listen`. */
  constructor(address: SocketAddress, { allowCids = "any", seqpacket }: ConnListenOptions) {
    const listener = listen(address, {
      allowed: allowCids === "any" ? "any" : new Set(allowCids),
      seqpacket,
      onConnection: (stream) => this.#add(stream),
      beforeNext: () => this.#untilTaken(),
      onShortage: (_reason, error) => this.#fail(error),
    });
    this.#close = () => listener.close();
    this.address = new Addr(listener.address);
    this.#accepting = new PendingOperations("accept a connection on", String(this.address));
  }

  /**
   * Returns the next connection. Calls that overlap are queued.
   *
   * @throws {VsockboxError} ABORTED by the signal or after {@link close}; with the step `accept` if there
   * are too few descriptors or too little memory, after which it may be called again.
   */
  async accept({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<Conn> {
    try {
      return await this.#next(signal);
    } catch (thrown) {
      // This call may have been woken for a connection before it ended: the next one gets that.
      this.#wakeNext();
      throw thrown;
    }
  }

  async #next(signal: AbortSignal | undefined): Promise<Conn> {
    for (;;) {
      this.#accepting.check(signal);
      const stream = this.#streams.shift();
      if (stream !== undefined) {
        this.#capacity?.resolve();
        this.#capacity = undefined;
        return this.#connOf(stream);
      }
      await this.#accepting.wait((resolve, reject) => {
        const waiter = { resolve, reject };
        this.#waiting.add(waiter);
        return { [Symbol.dispose]: () => void this.#waiting.delete(waiter) };
      }, signal);
    }
  }

  /**
   * Stops accepting and removes the socket file. Connections that were accepted stay; one that no call of
   * {@link accept} has returned is closed. Pending calls fail with ABORTED. Further calls have no effect.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const reason = new VsockboxError({
      code: "ABORTED",
      step: "accept",
      operation: "accept a connection on",
      address: String(this.address),
      message: "the listener was closed",
    });
    this.#accepting.close(reason);
    for (const stream of this.#streams.splice(0)) stream.abort();
    this.#capacity?.resolve();
    this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** Yields connections until {@link close}; a shortage of descriptors or memory is waited out. */
  async *[Symbol.asyncIterator](): AsyncIterator<Conn> {
    for (;;) {
      try {
        yield await this.accept();
      } catch (thrown) {
        if (this.#isClosed) return;
        if (!(thrown instanceof VsockboxError) || thrown.step !== "accept") throw thrown;
      }
    }
  }

  #add(stream: SocketStream): void {
    this.#streams.push(stream);
    this.#wakeNext();
  }

  #wakeNext(): void {
    const [waiter] = this.#waiting;
    if (waiter === undefined || this.#streams.length === 0) return;
    this.#waiting.delete(waiter);
    waiter.resolve();
  }

  #untilTaken(): Promise<void> | undefined {
    if (this.#streams.length === 0 || this.#isClosed) return undefined;
    this.#capacity ??= Promise.withResolvers();
    return this.#capacity.promise;
  }

  #fail(error: VsockboxError): void {
    for (const waiter of [...this.#waiting]) waiter.reject(error);
  }

  #connOf(stream: SocketStream): Conn {
    const { peer } = stream;
    const remote: SocketAddress =
      peer.kind === "vsock" ? peer : { kind: "unix", path: peer.kind === "unix" ? peer.path : "" };
    return new Conn(stream, { local: this.address, remote: new Addr(remote) });
  }
}
