/**
 * One connected byte stream, the same over AF_VSOCK, Unix sockets and hybrid-vsock: reads with
 * backpressure, writes that wait for the kernel, half-close, abort.
 */
import type { Socket, SocketHandler } from "bun";
import { reasonOf, VsockboxError } from "../errors.ts";
import {
  closeDescriptor,
  isPeerClosed,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDHUP,
  pollDescriptor,
  shutdownRead,
  shutdownWrite,
} from "../ffi/socket.ts";
import { formatPeer, peerOf, type Peer } from "./peer.ts";
import { abortError, onAbort } from "./deadline.ts";

/** Reading from the kernel stops above this many unread bytes and goes on below half of it. */
export const READ_HIGH_WATER_BYTES = 1024 * 1024;

/** Interval at which a paused stream checks whether its peer has closed, in milliseconds. */
const HANGUP_CHECK_MS = 250;

const PEER_GONE = POLLRDHUP | POLLHUP | POLLERR;

/** The runtime's socket; its `fd` is missing from the types of this version. */
type StreamSocket = Socket<SocketStream> & { readonly fd: number };

/** How long a finished connection waits for its peer to close, in milliseconds. */
const LINGER_MS = 2000;

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

  /** When bytes last came in or went out, by performance.now(). */
  lastTraffic = performance.now();
  /** When the peer last sent bytes, or accepted some of a write that had to wait, likewise. */
  lastSignOfLife = performance.now();

  readonly #socket: StreamSocket;
  readonly #closing = Promise.withResolvers<void>();
  readonly #peerEnding = Promise.withResolvers<void>();

  #chunks: Uint8Array[] = [];
  #unreadBytes = 0;
  #paused = false;
  #hangupTimer: Timer | undefined;
  #inputEnded = false;
  #outputEnded = false;
  #isClosed = false;
  #failure: VsockboxError | undefined;
  #reader: PromiseWithResolvers<void> | undefined;
  #drain: PromiseWithResolvers<void> | undefined;
  #writeQueue: Promise<void> = Promise.resolve();
  #writing = false;

  constructor(socket: StreamSocket) {
    this.#socket = socket;
    this.fd = socket.fd;
    this.peer = peerOf(socket.fd);
    this.closed = this.#closing.promise;
    this.peerEnded = this.#peerEnding.promise;
  }

  /** Counts the bytes that came in and were not read yet. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /**
   * Returns the next bytes, as many as came at once, or undefined at end of input.
   *
   * @throws {VsockboxError} TRANSPORT if the connection broke, after all bytes before that.
   */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#unreadBytes -= chunk.length;
        if (this.#paused && this.#unreadBytes <= READ_HIGH_WATER_BYTES / 2) this.#resume();
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#inputEnded) return undefined;
      this.#reader ??= Promise.withResolvers();
      await this.#reader.promise;
    }
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
        throw this.#broken("read", `the peer closed ${count - filled} of ${count} bytes too early`);
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
    if (bytes.length === 0) return;
    this.#chunks.unshift(bytes);
    this.#unreadBytes += bytes.length;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /**
   * Sends all of `bytes`; resolves when the kernel has accepted them. The buffer must not change until
   * then.
   *
   * @throws {VsockboxError} TRANSPORT if the connection is or becomes closed.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return this.#writing ? this.#writeQueue : Promise.resolve();
    if (!this.#writing && !this.#outputEnded && !this.#isClosed) {
      const taken = this.#socket.write(bytes);
      this.lastTraffic = performance.now();
      if (taken === bytes.length) return Promise.resolve();
      if (taken >= 0) return this.#enqueue(bytes.subarray(taken));
    }
    return this.#enqueue(bytes);
  }

  #enqueue(bytes: Uint8Array): Promise<void> {
    this.#writing = true;
    const mine = this.#writeQueue.then(() => this.#writeAll(bytes));
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#writeQueue = settled;
    void settled.then(() => {
      if (this.#writeQueue === settled) this.#writing = false;
    });
    return mine;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    let hasWaited = false;
    while (rest.length > 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#outputEnded) throw this.#broken("write", "this side has ended its output already");
      const taken = this.#isClosed ? -1 : this.#socket.write(rest);
      if (taken < 0) throw this.#broken("write", "the connection is closed");
      rest = rest.subarray(taken);
      if (taken > 0) {
        this.lastTraffic = performance.now();
        if (hasWaited) this.lastSignOfLife = this.lastTraffic;
      }
      if (rest.length === 0) return;
      this.#drain ??= Promise.withResolvers();
      await this.#drain.promise;
      hasWaited = true;
    }
  }

  /** Whether bytes, or the end of input, are in the kernel that the event loop has not delivered yet. */
  get hasUndeliveredInput(): boolean {
    return this.#isClosed || (!this.#paused && pollDescriptor(this.fd, POLLIN, 0) !== 0);
  }

  /** Whether the peer has closed both directions; a half-closed peer still reads. */
  get isPeerGone(): boolean {
    return this.#isClosed || isPeerClosed(this.fd);
  }

  /** Whether the peer has closed or half-closed, also while this side does not read. */
  get hasPeerEnded(): boolean {
    return (
      this.#inputEnded ||
      this.#isClosed ||
      (pollDescriptor(this.fd, POLLRDHUP, 0) & PEER_GONE) !== 0
    );
  }

  /** Discards unread bytes and stops reading: the peer's writes fail with EPIPE. */
  endInput(): void {
    if (this.#isClosed) return;
    shutdownRead(this.fd);
    this.#chunks = [];
    this.#unreadBytes = 0;
    this.#resume();
    this.onEnd();
  }

  /** Half-closes: sends the queued bytes, then shuts down writing. */
  async end(): Promise<void> {
    if (this.#writing) await this.#writeQueue;
    if (this.#outputEnded || this.#isClosed) return;
    this.#outputEnded = true;
    shutdownWrite(this.fd);
    if (this.#inputEnded) this.#socket.end();
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
    if (this.#writing) await this.#writeQueue;
    if (!this.#isClosed) this.#socket.end();
    await this.closed;
  }

  /** Closes at once; pending reads and writes fail with `reason`. */
  abort(reason?: VsockboxError): void {
    this.#failure ??= reason ?? this.#broken("use", "the connection was aborted", "ABORTED");
    this.#chunks = [];
    this.#unreadBytes = 0;
    if (!this.#isClosed) this.#socket.terminate();
    this.#wake();
  }

  /** Aborts when the signal fires, with its reason if that is a {@link VsockboxError}. */
  abortOn(signal: AbortSignal): void {
    const watch = onAbort(signal, () => this.abort(abortError(signal, "use connection")));
    void this.closed.then(() => watch[Symbol.dispose]());
  }

  /** Called by the runtime: bytes came in. */
  onData(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#unreadBytes += chunk.length;
    this.lastTraffic = performance.now();
    this.lastSignOfLife = this.lastTraffic;
    if (this.#unreadBytes > READ_HIGH_WATER_BYTES && !this.#paused) this.#pause();
    this.#wakeReader();
  }

  /** Called by the runtime: the peer half-closed. */
  onEnd(): void {
    this.#inputEnded = true;
    this.#peerEnding.resolve();
    this.#wakeReader();
    if (this.#outputEnded) this.#socket.end();
  }

  /** Called by the runtime: the kernel accepts bytes again. */
  onDrain(): void {
    const drain = this.#drain;
    this.#drain = undefined;
    drain?.resolve();
  }

  /** Called by the runtime: the descriptor is closed, with an error if the connection broke. */
  onClose(error?: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#hangupTimer);
    if (error !== undefined && error !== null) this.#fail(error);
    this.#inputEnded = true;
    this.#wake();
    this.#peerEnding.resolve();
    this.#closing.resolve();
  }

  #fail(error: unknown): void {
    this.#failure ??= new VsockboxError({
      code: "TRANSPORT",
      operation: "connection with",
      address: formatPeer(this.peer),
      message: "the peer reset it",
      errno: reasonOf(error).errno,
      cause: error,
    });
  }

  #broken(operation: string, message: string, code: "TRANSPORT" | "ABORTED" = "TRANSPORT") {
    return new VsockboxError({ code, operation, address: formatPeer(this.peer), message });
  }

  #wake(): void {
    this.#wakeReader();
    this.onDrain();
  }

  #wakeReader(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.resolve();
  }

  #pause(): void {
    this.#paused = true;
    this.#socket.pause();
    // A paused socket gets no event when its peer closes, so poll it.
    this.#hangupTimer = setInterval(() => {
      if ((pollDescriptor(this.fd, POLLRDHUP, 0) & PEER_GONE) !== 0) this.#peerEnding.resolve();
    }, HANGUP_CHECK_MS);
    this.#hangupTimer.unref();
  }

  #resume(): void {
    this.#paused = false;
    clearInterval(this.#hangupTimer);
    if (!this.#isClosed) this.#socket.resume();
  }
}

/** Returns the runtime's callbacks, which call the {@link SocketStream} of each socket. */
export function socketHandler(
  onOpen: (stream: SocketStream) => void,
): SocketHandler<SocketStream, "buffer"> {
  return {
    binaryType: "buffer",
    open(socket) {
      const stream = new SocketStream(socket as StreamSocket);
      socket.data = stream;
      onOpen(stream);
    },
    data: (socket, chunk) => socket.data.onData(chunk),
    end: (socket) => socket.data.onEnd(),
    drain: (socket) => socket.data.onDrain(),
    close: (socket, error) => socket.data?.onClose(error),
    error: (socket, error) => socket.data?.onClose(error),
  };
}

/**
 * Makes a stream of a connected, non-blocking descriptor, which the stream owns from then on.
 *
 * A descriptor whose connect is still pending must not be handed over: the runtime reports a
 * refusal as an ordinary close, or not at all.
 */
export async function adoptDescriptor(fd: number): Promise<SocketStream> {
  const opened = Promise.withResolvers<SocketStream>();
  try {
    // `fd` and `allowHalfOpen` together are missing from the types of this version.
    const options = { fd, allowHalfOpen: true, socket: socketHandler(opened.resolve) };
    await Bun.connect(options as unknown as Parameters<typeof Bun.connect<SocketStream>>[0]);
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
  return opened.promise;
}
