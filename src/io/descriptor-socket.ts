/**
 * A connected Unix or TCP socket that this program reads and writes by itself, in place of the runtime's.
 *
 * Two ways of reading, never both at once:
 *
 *   pushed   whatever arrives is read and handed to the stream, until {@link DescriptorSocket.pause}
 *   pulled   nothing is read before the stream asks for it: it reads into a buffer of its own, which it
 *            may use again and again
 *
 * An event is wanted only while it is of use: EPOLLIN unless paused or at the end of input, EPOLLOUT while
 * a write waits. One that arrives in spite of that is removed then, so that a socket that changes between
 * the two many times a second costs no system call each time.
 */
import { ERRNO, systemError } from "../ffi/errno.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ffi/epoll.ts";
import {
  closeDescriptor,
  readDescriptor,
  resetOnClose,
  sendBytes,
  SOCK_STREAM,
  socketError,
  socketType,
} from "../ffi/socket.ts";
import {
  type DescriptorWatch,
  descriptorWatch,
  type WatchedDescriptor,
} from "./descriptor-watch.ts";
import { FairTurns } from "./fair-turns.ts";

/** The stream of a socket, which is called back. */
export interface SocketEvents {
  /** Bytes came in; the chunk is the stream's. */
  onData(chunk: Uint8Array): void;
  /** The peer has half-closed. */
  onEnd(): void;
  /** The kernel accepts bytes again. */
  onDrain(): void;
  /** The peer has closed or half-closed, perhaps with bytes before that that were not read. */
  onPeerEnded(): void;
  /** The descriptor is closed, with an error if the connection broke. */
  onClose(error?: unknown): void;
}

/** Capacity of the buffer of pushed reads, in bytes; a packet above it would be truncated. */
const READ_BYTES = 512 * 1024;

/** Bytes that one socket pushes before all others have a turn. */
const TURN_BYTES = 1024 * 1024;

/** Events of a peer that has closed or half-closed. */
const ENDED_EVENTS = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/** Events after which a write that waits is tried again: it succeeds, or finds the error. */
const WRITE_EVENTS = EPOLLOUT | EPOLLHUP | EPOLLERR;

/** The buffer of all pushed reads: each chunk is copied out of it at once. */
let readBuffer: Uint8Array | undefined;

/** A connected, non-blocking socket. Owns the descriptor. */
export class DescriptorSocket {
  readonly fd: number;
  readonly #watched: WatchedDescriptor;
  /** Whether a read returns everything that fits, not one packet. */
  readonly #isStream: boolean;
  readonly #turns = new FairTurns();
  #events: SocketEvents | undefined;
  #isPaused = false;
  #isPulled = false;
  #isBlocked = false;
  #hasEnded = false;
  #hasHungUp = false;
  #isClosed = false;
  #reader: (() => void) | undefined;

  constructor(fd: number, watch: DescriptorWatch = descriptorWatch()) {
    this.fd = fd;
    this.#isStream = socketType(fd) === SOCK_STREAM;
    this.#watched = watch.add(fd, 0, (events) => this.#onEvents(events));
  }

  /** Begins to read for a stream. */
  start(events: SocketEvents): void {
    this.#events = events;
    this.#watched.want(EPOLLIN | EPOLLRDHUP);
  }

  /** Reads no more for now. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Reads again, and pushes what it reads. */
  resume(): void {
    this.#isPaused = false;
    this.#isPulled = false;
    if (!this.#isClosed) this.#watched.want(this.#watched.events | EPOLLIN);
  }

  /**
   * Sends what the kernel accepts now; `onDrain` follows if that is not all.
   *
   * @returns the number of accepted bytes; -1 if the socket is closed, or its peer reads no more.
   */
  write(bytes: Uint8Array): number {
    if (this.#isClosed) return -1;
    const count = sendBytes(this.fd, bytes);
    if (count === bytes.length) return count;
    if (count >= 0 || count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) {
      this.#isBlocked = true;
      const { events } = this.#watched;
      if ((events & EPOLLOUT) === 0) this.#watched.want(events | EPOLLOUT);
      return Math.max(0, count);
    }
    // The peer may still send although it reads no more.
    if (count !== -ERRNO.EPIPE) this.#break(-count);
    return -1;
  }

  /** Reads nothing from now on but by {@link readInto}, until {@link resume}. */
  pull(): void {
    this.#isPulled = true;
  }

  /** Reads into a buffer; resolves with the number of bytes, 0 at the end of input or if it is closed. */
  async readInto(buffer: Uint8Array): Promise<number> {
    while (!this.#isClosed && !this.#hasEnded) {
      const count = readDescriptor(this.fd, buffer);
      if (count > 0) {
        const giveWay = this.#turns.moved(count);
        if (giveWay !== undefined) await giveWay;
        return count;
      }
      if (count === 0) this.#end();
      else if (count === -ERRNO.EAGAIN) await this.#readable();
      else if (count !== -ERRNO.EINTR) this.#break(-count);
    }
    return 0;
  }

  #readable(): Promise<void> {
    this.#turns.waited();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#reader = resolve;
    const { events } = this.#watched;
    if ((events & EPOLLIN) === 0) this.#watched.want(events | EPOLLIN);
    return promise;
  }

  #onEvents(events: number): void {
    if ((events & WRITE_EVENTS) !== 0) this.#onWritable();
    if ((events & ENDED_EVENTS) !== 0 && !this.#hasHungUp && !this.#isClosed) {
      this.#hasHungUp = true;
      this.#events?.onPeerEnded();
    }
    if (this.#isClosed) return;
    if (this.#hasEnded) return this.#onEventsAfterEnd(events);
    if (this.#reader !== undefined) return this.#wakeReader();
    // The little that the kernel has of a broken connection is read in any case, to find the error.
    const isBroken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if ((this.#isPaused || this.#isPulled) && !isBroken) return this.#unwant(EPOLLIN);
    this.#push(isBroken);
  }

  /** A peer that has half-closed may still reset the connection. */
  #onEventsAfterEnd(events: number): void {
    const errno = (events & EPOLLERR) === 0 ? 0 : socketError(this.fd);
    if (errno !== 0) this.#break(errno);
    else this.#unwant(EPOLLIN);
  }

  #onWritable(): void {
    if (!this.#isBlocked) return this.#unwant(EPOLLOUT);
    this.#isBlocked = false;
    this.#events?.onDrain();
  }

  #wakeReader(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.();
  }

  /** Stops the report of events that no one waits for. */
  #unwant(events: number): void {
    const wanted = this.#watched.events;
    if (!this.#isClosed && (wanted & events) !== 0) this.#watched.want(wanted & ~events);
  }

  #push(isBroken: boolean): void {
    readBuffer ??= new Uint8Array(READ_BYTES);
    let pushed = 0;
    while (this.#mayPush(isBroken)) {
      const count = readDescriptor(this.fd, readBuffer);
      if (count === -ERRNO.EINTR) continue;
      if (count === -ERRNO.EAGAIN) return;
      if (count === 0) return this.#end();
      if (count < 0) return this.#break(-count);
      // A Buffer, as the runtime's sockets have them.
      this.#events?.onData(Buffer.from(readBuffer.subarray(0, count)));
      pushed += count;
      // What comes after this is reported anew: epoll(7). The end and errors were reported already.
      if (count < READ_BYTES && this.#isStream && !this.#hasHungUp) return;
      if (pushed >= TURN_BYTES) return void setImmediate(() => this.#push(isBroken));
    }
  }

  #mayPush(isBroken: boolean): boolean {
    if (this.#isClosed || this.#hasEnded) return false;
    return isBroken || !(this.#isPaused || this.#isPulled);
  }

  #end(): void {
    this.#hasEnded = true;
    this.#events?.onEnd();
  }

  #break(errno: number): void {
    if (!this.#isClosed) this.#close(systemError(errno, { operation: "continue with" }));
  }

  /** Closes the descriptor. */
  end(): void {
    if (!this.#isClosed) this.#close();
  }

  /** Closes the descriptor and resets a TCP connection. */
  terminate(): void {
    if (this.#isClosed) return;
    resetOnClose(this.fd);
    this.#close();
  }

  #close(error?: Error): void {
    this.#isClosed = true;
    this.#watched.close();
    closeDescriptor(this.fd);
    this.#events?.onClose(error);
    this.#wakeReader();
  }
}
