/**
 * One connected byte stream, the same over AF_VSOCK, Unix sockets and hybrid-vsock: reads with
 * backpressure, writes that wait for the kernel, half-close, abort.
 *
 *   callbacks of the socket (`descriptor-socket.ts`, or the runtime's: `adopt-descriptor.ts`)
 *     data   ->  `read-buffer.ts`        unread bytes and their reader
 *            ->  `read-backpressure.ts`  pauses the socket while many are unread
 *     drain  ->  `write-queue.ts`        writes in order, each complete before the next
 *
 * States: open; input ended (the peer has half-closed); output ended (`end`); closed, after both have
 * ended, `close`, `abort`, or a broken connection, which is then the failure of all reads and writes.
 */
import { type Operation } from "../operations.ts";
import { reasonOf, VsockboxError } from "../errors.ts";
import {
  isPeerClosed,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDHUP,
  pollDescriptor,
  shutdownRead,
  shutdownWrite,
  SOCK_SEQPACKET,
  socketType,
  unsentBytes,
} from "../ffi/socket.ts";
import { borrowBuffer, returnBuffer } from "./buffer-pool.ts";
import { abortError, delay, onAbort } from "./deadline.ts";
import { formatPeer, peerOf, type Peer } from "./peer.ts";
import { ReadBackpressure } from "./read-backpressure.ts";
import { ReadBuffer } from "./read-buffer.ts";
import { type WriteCancellation, WriteQueue } from "./write-queue.ts";

/** poll(2) events of a peer that has closed or half-closed. */
const PEER_ENDED_EVENTS = POLLRDHUP | POLLHUP | POLLERR;

/** The socket of a stream, which calls the stream back: `descriptor-socket.ts`, or the runtime's. */
export interface StreamSocket {
  readonly fd: number;
  pause(): void;
  resume(): void;
  /** Returns the number of bytes that the kernel accepts now; -1 if the socket is closed. */
  write(bytes: Uint8Array): number;
  /** Closes the descriptor. */
  end(): void;
  /** Closes the descriptor and resets a TCP connection. */
  terminate(): void;
  /** Reads nothing from now on but by `readInto`, until `resume`. */
  pull?(): void;
  /** Resolves with the number of bytes read; 0 at the end of input or if the socket is closed. */
  readInto?(buffer: Uint8Array): Promise<number>;
}

/** Interval at which {@link SocketStream.reset} asks whether all bytes have arrived, in milliseconds. */
const UNSENT_CHECK_MS = 10;

/** How long a finished connection waits for its peer to close, in milliseconds. */
const LINGER_MS = 2000;

/** Of a packet, in bytes. */
const PACKET_BYTES = 64 * 1024;

/**
 * A connected stream socket.
 *
 * Reading: `read()` or `for await`, or `readExactly(count)`. Writing: `write()` resolves once the
 * kernel has all of it, so awaiting each write bounds memory. Several writers may call `write` at
 * once; each call's bytes stay together.
 */
export class SocketStream implements AsyncIterable<Uint8Array> {
  readonly peer: Peer;
  readonly fd: number;
  /** Resolves when the descriptor is closed, however that came about. Never rejects. */
  readonly closed: Promise<void>;
  /**
   * Resolves when the peer has half-closed or closed, even while bytes are unread: the
   * way to notice a peer that left while this side does not read.
   */
  readonly peerEnded: Promise<void>;

  /** Resolves with the reason when the connection breaks or is aborted. Never rejects. */
  readonly broken: Promise<VsockboxError>;

  /** Bytes that the runtime has delivered, and those that the kernel has accepted. */
  receivedBytes = 0;
  sentBytes = 0;
  /** When bytes last came in or went out, by performance.now(). */
  lastTraffic = performance.now();
  /** When the peer last sent bytes, or accepted some of a write that had to wait, likewise. */
  lastSignOfLife = performance.now();

  readonly #socket: StreamSocket;
  readonly #closing = Promise.withResolvers<void>();
  readonly #peerEnding = Promise.withResolvers<void>();
  readonly #breaking = Promise.withResolvers<VsockboxError>();

  readonly #input: ReadBuffer;
  #dropsInput = false;
  #isPulled = false;
  readonly #output: WriteQueue;
  readonly #backpressure: ReadBackpressure;
  #isClosed = false;
  #failure: VsockboxError | undefined;

  constructor(socket: StreamSocket) {
    this.#socket = socket;
    this.fd = socket.fd;
    this.peer = peerOf(socket.fd);
    this.closed = this.#closing.promise;
    this.peerEnded = this.#peerEnding.promise;
    this.broken = this.#breaking.promise;
    this.#input = new ReadBuffer(() => this.#backpressure.onRead(this.#input.bytes));
    this.#backpressure = new ReadBackpressure(
      {
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        hasHungUp: () => this.#hasHungUp,
      },
      () => this.#peerEnding.resolve(),
    );
    this.#output = this.#newWriteQueue();
  }

  #newWriteQueue(): WriteQueue {
    return new WriteQueue({
      failure: () => this.#failure,
      write: (bytes) => {
        const accepted = this.#isClosed ? -1 : this.#socket.write(bytes);
        if (accepted > 0) this.sentBytes += accepted;
        return accepted;
      },
      writeError: (message) => this.#broken("write to", message),
      onWritten: (hasWaited) => {
        this.lastTraffic = performance.now();
        if (hasWaited) this.lastSignOfLife = this.lastTraffic;
      },
    });
  }

  /** Counts the bytes that came in and were not read yet. */
  get unreadBytes(): number {
    return this.#input.bytes;
  }

  /**
   * Returns the next bytes, as many as came at once, or undefined at end of input.
   *
   * @throws {VsockboxError} TRANSPORT if the connection broke, after all bytes before that.
   */
  read(): Promise<Uint8Array | undefined> {
    this.#resumeAfterLending();
    return this.#input.next();
  }

  /**
   * Calls `wake` as soon as {@link read} would not wait, at once if that is so already; until disposed.
   * Nothing is consumed.
   */
  onReadable(wake: () => void): Disposable {
    this.#resumeAfterLending();
    return this.#input.onReadable(wake);
  }

  /**
   * Returns exactly `count` bytes.
   *
   * @throws {VsockboxError} TRANSPORT if the input ends before, with the number of missing bytes.
   */
  async readExactly(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const chunk = await this.read();
      if (chunk === undefined) {
        throw this.#broken(
          "read from",
          `the peer closed ${count - filled} of ${count} bytes too early`,
        );
      }
      const taken = chunk.subarray(0, count - filled);
      bytes.set(taken, filled);
      filled += taken.length;
      if (taken.length < chunk.length) this.unread(chunk.subarray(taken.length));
    }
    return bytes;
  }

  /** Puts bytes back, so that the next read returns them first. */
  unread(bytes: Uint8Array): void {
    this.#input.unread(bytes);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /**
   * Iterates like the stream itself, but each chunk may only be used until the next one is requested: all
   * are read into one buffer.
   */
  async *lend(): AsyncGenerator<Uint8Array, undefined, undefined> {
    const socket = this.#socket;
    if (socket.pull === undefined || this.#isClosed) return yield* this;
    socket.pull();
    this.#isPulled = true;
    const buffer = borrowBuffer();
    try {
      for (;;) {
        const chunk = (await this.#readInto(buffer)) ?? (await this.#input.next());
        if (chunk === undefined) return;
        yield chunk;
      }
    } finally {
      returnBuffer(buffer);
    }
  }

  /**
   * A consumer that has stopped leaves the rest in the kernel: a Unix socket that is closed then is reset,
   * as its peer may have to learn.
   */
  #resumeAfterLending(): void {
    if (!this.#isPulled) return;
    this.#isPulled = false;
    if (!this.#isClosed) this.#socket.resume();
  }

  /** Returns undefined if there are bytes that were received before, or the input has ended. */
  async #readInto(buffer: Uint8Array): Promise<Uint8Array | undefined> {
    if (!this.#input.mustWait) return undefined;
    const count = (await this.#socket.readInto?.(buffer)) ?? 0;
    if (count === 0) return undefined;
    this.#onReceived(count);
    return buffer.subarray(0, count);
  }

  #onReceived(bytes: number): void {
    this.lastTraffic = performance.now();
    this.lastSignOfLife = this.lastTraffic;
    this.receivedBytes += bytes;
  }

  /**
   * Sends all of `bytes`; resolves when the kernel has accepted them. The buffer must not change until
   * then.
   *
   * @param cancellation ends the write with its reason once {@link cancelWrite} was called with it.
   * @throws {VsockboxError} TRANSPORT if the connection is or becomes closed.
   */
  write(bytes: Uint8Array, cancellation?: WriteCancellation): Promise<void> {
    return this.#output.write(bytes, cancellation);
  }

  /** Ends a write that waits: bytes that the kernel has not accepted are not sent. */
  cancelWrite(cancellation: WriteCancellation, reason: VsockboxError): void {
    cancellation.reason ??= reason;
    this.#output.onDrain();
  }

  /** Whether bytes, or the end of input, are in the kernel that the event loop has not delivered yet. */
  get hasUndeliveredInput(): boolean {
    return (
      this.#isClosed || (!this.#backpressure.isPaused && pollDescriptor(this.fd, POLLIN, 0) !== 0)
    );
  }

  /** Whether the peer has closed both directions; a half-closed peer still reads. */
  get isPeerGone(): boolean {
    return this.#isClosed || isPeerClosed(this.fd);
  }

  /**
   * How many bytes a write may have in any case, if each is one packet: less than the kernel's smallest
   * default of a send buffer, which a packet has to fit in.
   */
  get packetBytes(): number | undefined {
    return socketType(this.fd) === SOCK_SEQPACKET ? PACKET_BYTES : undefined;
  }

  /** Whether the peer has closed or half-closed, also while this side does not read. */
  get hasPeerEnded(): boolean {
    return this.#input.isEnded || this.#isClosed || this.#hasHungUp;
  }

  get #hasHungUp(): boolean {
    return (pollDescriptor(this.fd, POLLRDHUP, 0) & PEER_ENDED_EVENTS) !== 0;
  }

  /** Discards unread bytes and stops reading: the peer's writes fail with EPIPE. */
  endInput(): void {
    if (this.#isClosed) return;
    this.#dropsInput = true;
    shutdownRead(this.fd);
    this.#input.clear();
    this.#backpressure.resume();
    this.onEnd();
  }

  /** Half-closes: sends the queued bytes, then shuts down writing. */
  async end(): Promise<void> {
    if (this.#output.isBusy) await this.#output.settled;
    if (this.#output.isEnded || this.#isClosed) return;
    this.#output.end();
    shutdownWrite(this.fd);
    if (this.#input.isEnded) this.#socket.end();
  }

  /**
   * Half-closes, discards input until the peer closes too, and closes: closing with unread input would
   * reset the connection, and the peer could lose the bytes that were sent last.
   *
   * @param lingerMs how long to wait for the peer, in milliseconds.
   */
  async finish(lingerMs: number = LINGER_MS): Promise<void> {
    try {
      await this.end();
      const timer = setTimeout(() => this.abort(), lingerMs);
      try {
        while ((await this.read()) !== undefined);
      } finally {
        clearTimeout(timer);
      }
    } catch {
      // The peer has closed; there is nothing left to send.
    }
    await this.close();
  }

  /** Sends the queued bytes, then closes both directions. */
  async close(): Promise<void> {
    if (this.#output.isBusy) await this.#output.settled;
    if (!this.#isClosed) this.#socket.end();
    await this.closed;
  }

  /**
   * Aborts as soon as the peer has received all bytes of the writes so far: a TCP connection that is
   * reset discards the others.
   *
   * @param limitMs how long to wait for that, in milliseconds.
   */
  async reset(reason: VsockboxError, limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (this.#hasUnsentBytes && performance.now() < deadline) await delay(UNSENT_CHECK_MS);
    this.abort(reason);
  }

  get #hasUnsentBytes(): boolean {
    if (this.#isClosed) return false;
    // Closing a socket of another family discards none that its kernel has accepted.
    return this.#output.isBusy || (this.peer.kind === "tcp" && unsentBytes(this.fd) > 0);
  }

  /**
   * Closes at once; pending reads and writes fail with `reason`. Resets a TCP connection. The peer of a
   * Unix socket gets ECONNRESET only if it has sent bytes that were not read from the kernel.
   */
  abort(reason?: VsockboxError): void {
    this.#failure ??=
      reason ?? this.#broken("continue with", "the connection was aborted", "ABORTED");
    this.#breaking.resolve(this.#failure);
    this.#input.clear();
    this.#input.fail(this.#failure);
    if (!this.#isClosed) this.#socket.terminate();
    this.onDrain();
  }

  /** Aborts when the signal fires, with its reason if that is a {@link VsockboxError}. */
  abortOn(signal: AbortSignal): void {
    const watch = onAbort(signal, () => this.abort(abortError(signal, "use connection")));
    void this.closed.then(() => watch[Symbol.dispose]());
  }

  /** Called by the socket: bytes came in. */
  onData(chunk: Uint8Array): void {
    this.#onReceived(chunk.length);
    // Linux still delivers what a Unix socket had received before it was shut down.
    if (this.#dropsInput) return;
    this.#input.push(chunk);
    this.#backpressure.onReceived(this.#input.bytes);
  }

  /** Called by the socket: the peer half-closed. */
  onEnd(): void {
    if (this.#wasReset) {
      this.#fail(Object.assign(new Error("reset by the peer"), { code: "ECONNRESET" }));
      this.#socket.terminate();
      return;
    }
    this.#peerEnding.resolve();
    this.#input.end();
    if (this.#output.isEnded) this.#socket.end();
  }

  /** Called by the socket: the peer has closed or half-closed, perhaps after bytes that were not read. */
  onPeerEnded(): void {
    this.#peerEnding.resolve();
  }

  /** Called by the socket: the kernel accepts bytes again. */
  onDrain(): void {
    this.#output.onDrain();
  }

  /** Called by the socket: the descriptor is closed, with an error if the connection broke. */
  onClose(error?: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#backpressure.close();
    if (error !== undefined && error !== null) this.#fail(error);
    this.#input.end();
    this.onDrain();
    this.#peerEnding.resolve();
    this.#closing.resolve();
  }

  /**
   * Whether a TCP peer has reset the connection though reads return the end of input: a write before has
   * got the error. Both directions are shut down then, which this side has not done.
   */
  get #wasReset(): boolean {
    if (this.#isClosed || this.#output.isEnded || this.peer.kind !== "tcp") return false;
    return (pollDescriptor(this.fd, 0, 0) & POLLHUP) !== 0;
  }

  #fail(error: unknown): void {
    this.#failure ??= new VsockboxError({
      code: "TRANSPORT",
      operation: "continue with",
      address: formatPeer(this.peer),
      message: "the peer reset the connection",
      errno: reasonOf(error).errno,
      cause: error,
    });
    this.#breaking.resolve(this.#failure);
    this.#input.fail(this.#failure);
  }

  #broken(operation: Operation, message: string, code: "TRANSPORT" | "ABORTED" = "TRANSPORT") {
    return new VsockboxError({ code, operation, address: formatPeer(this.peer), message });
  }
}
