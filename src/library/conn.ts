/** Connections of programs: a stream with deadlines, addresses, and the streams of the platform. */
import type { Duplex } from "node:stream";
import { VsockboxError } from "../errors.ts";
import type { WriteCancellation } from "../io/write-queue.ts";
import type { Operation } from "../operations.ts";
import type { SocketStream } from "../io/stream.ts";
import type { Addr } from "./addr.ts";
import { duplexOf, readableOf, writableOf } from "./conn-streams.ts";
import { PendingOperations } from "./pending-operations.ts";
import { Turns } from "./turns.ts";

/** A point in time at which operations fail, or milliseconds since the epoch; undefined: never. */
export type Deadline = Date | number | undefined;

/** Options of {@link Conn.read}. */
export interface ReadOptions {
  /** Returns at most this many bytes; the rest is returned by the next read. */
  maxBytes?: number | undefined;
  /** Fires to end this read. No bytes are lost. */
  signal?: AbortSignal | undefined;
}

/** Options of {@link Conn.write}. */
export interface WriteOptions {
  /** Fires to end this write; {@link Conn.bytesWritten} shows how much of it was sent. */
  signal?: AbortSignal | undefined;
}

/** A connection. */
export class Conn implements AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The address of this end; the path of a client's Unix socket is empty. */
  readonly localAddress: Addr;
  /** The address of the peer. */
  readonly remoteAddress: Addr;
  readonly #stream: SocketStream;
  /** Bytes that were sent before the connection was handed on. */
  readonly #handshakeBytes: number;
  readonly #reading: PendingOperations;
  readonly #readTurns = new Turns();
  readonly #writing: PendingOperations;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;
  #isClosed = false;

  /** Made by `dial` and `Listener.accept`. */
  constructor(stream: SocketStream, addresses: { local: Addr; remote: Addr }) {
    this.#stream = stream;
    this.#handshakeBytes = stream.sentBytes;
    this.localAddress = addresses.local;
    this.remoteAddress = addresses.remote;
    this.#reading = new PendingOperations("read from", String(this.remoteAddress));
    this.#writing = new PendingOperations("write to", String(this.remoteAddress));
  }

  /** The descriptor of the socket, non-blocking. The connection owns it: it must not be closed or read. */
  get descriptor(): number {
    return this.#stream.fd;
  }

  /** Resolves when the descriptor is closed, for any reason. Never rejects. */
  get closed(): Promise<void> {
    return this.#stream.closed;
  }

  /** Bytes that the kernel has accepted from writes so far. */
  get bytesWritten(): number {
    return this.#stream.sentBytes - this.#handshakeBytes;
  }

  /**
   * Returns the next bytes, as many as there are, or undefined at the end of input. Reads that overlap
   * are queued; each gets other bytes. One that fails by its deadline or signal has consumed nothing.
   *
   * @throws {VsockboxError} TIMEOUT after the read deadline, ABORTED by the signal or after {@link close},
   * TRANSPORT if the connection broke.
   */
  async read({ maxBytes = Infinity, signal }: ReadOptions = {}): Promise<Uint8Array | undefined> {
    if (!(maxBytes >= 1)) throw new RangeError("maxBytes is less than 1");
    await this.#reading.wait((resolve) => this.#readTurns.next(resolve), signal);
    try {
      await this.#reading.wait((resolve) => this.#stream.onReadable(resolve), signal);
      const bytes = await this.#stream.read();
      if (bytes === undefined || bytes.length <= maxBytes) return bytes;
      this.#stream.unread(bytes.subarray(maxBytes));
      return bytes.subarray(0, maxBytes);
    } finally {
      this.#readTurns.end();
    }
  }

  /**
   * Sends all bytes, or a text as UTF-8; resolves when the kernel has accepted them. Writes that overlap
   * are sent in the order of their calls, each in one piece. The buffer must not change until then.
   *
   * @throws {VsockboxError} TIMEOUT after the write deadline, ABORTED by the signal or after {@link close},
   * TRANSPORT if the peer has closed or the connection broke. A part may have been sent.
   */
  async write(bytes: Uint8Array | string, { signal }: WriteOptions = {}): Promise<void> {
    this.#writing.check(signal);
    const cancellation: WriteCancellation = { reason: undefined };
    const data = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    const written = this.#stream.write(data, cancellation);
    try {
      await this.#writing.wait((resolve, reject) => {
        written.then(resolve, reject);
        return { [Symbol.dispose]: () => undefined };
      }, signal);
    } catch (thrown) {
      if (thrown instanceof VsockboxError) this.#stream.cancelWrite(cancellation, thrown);
      throw thrown;
    }
  }

  /** Half-closes: the peer reads the end of input after all bytes that were written before. */
  closeWrite(): Promise<void> {
    return this.#stream.end();
  }

  /** Ends the input: unread bytes are discarded, reads return undefined, and the peer's writes fail. */
  closeRead(): void {
    this.#stream.endInput();
  }

  /** Sets both deadlines. */
  setDeadline(deadline: Deadline): void {
    this.setReadDeadline(deadline);
    this.setWriteDeadline(deadline);
  }

  /**
   * Sets the time at which reads fail with TIMEOUT, those included that are pending. The connection stays
   * usable: a later deadline, or none, allows further reads, and no bytes are lost.
   *
   * @throws {RangeError} for an invalid time.
   */
  setReadDeadline(deadline: Deadline): void {
    this.#reading.setDeadline(deadline);
  }

  /**
   * Sets the time at which writes fail with TIMEOUT, those included that are pending. A write that fails
   * may have sent a part of its bytes: {@link bytesWritten} counts them.
   *
   * @throws {RangeError} for an invalid time.
   */
  setWriteDeadline(deadline: Deadline): void {
    this.#writing.setDeadline(deadline);
  }

  /**
   * Closes both directions; pending reads and writes fail with ABORTED. The kernel still delivers bytes
   * that were written before, unless there are unread bytes of the peer: a program that must be sure calls
   * {@link closeWrite} and reads to the end first. Further calls have no effect.
   */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#reading.close(this.#closedError("read from"));
      this.#writing.close(this.#closedError("write to"));
    }
    await this.#stream.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Yields the input up to its end. */
  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const bytes = await this.read();
      if (bytes === undefined) return;
      yield bytes;
    }
  }

  /** The input as a Web stream; cancelling it calls {@link closeRead}. */
  get readable(): ReadableStream<Uint8Array> {
    this.#readable ??= readableOf(this);
    return this.#readable;
  }

  /** The output as a Web stream; closing it calls {@link closeWrite}, aborting it {@link close}. */
  get writable(): WritableStream<Uint8Array> {
    this.#writable ??= writableOf(this);
    return this.#writable;
  }

  /** Returns the connection as a stream of Node, which closes it when both directions have ended. */
  toDuplex(): Duplex {
    return duplexOf(this);
  }

  #closedError(operation: Operation): VsockboxError {
    return new VsockboxError({
      code: "ABORTED",
      operation,
      address: String(this.remoteAddress),
      message: "the connection was closed on this side",
    });
  }
}
