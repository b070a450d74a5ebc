/** One stream of a bulk test, at either end: it sends one message over and over, receives, or does both. */
import { ERRNO, systemError } from "../ffi/errno.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../ffi/epoll.ts";
import { readDescriptor, shutdownWrite, writeDescriptor } from "../ffi/socket.ts";
import type { VsockboxError } from "../errors.ts";
import type { EventLoop } from "../io/event-loop.ts";

/** Reads or writes of one stream before the others have a turn. */
const CALLS_PER_TURN = 16;

/** A receiver reads up to this many bytes at once. */
export const RECEIVE_BYTES = 256 * 1024;

/** Counts of a stream. */
export interface StreamCounts {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** A stream of a test at either end. */
export interface TestStream extends StreamCounts {
  /** Whether both directions have ended. */
  readonly isEnded: boolean;
  /** Sends no more after the message that is being sent, and half-closes. */
  stopSending(): void;
  /** Stops watching the descriptor, which the caller closes. */
  close(): void;
}

/** Options of {@link BulkStream}. */
export interface BulkStreamOptions {
  loop: EventLoop;
  /** A connected, non-blocking socket; the caller closes it. */
  fd: number;
  /** What is sent, over and over; undefined: this end does not send. */
  message: Uint8Array | undefined;
  /** Sending ends after this many bytes. */
  limitBytes: number;
  /** Receives the bytes, which are not kept; undefined: this end does not receive. */
  buffer: Uint8Array | undefined;
  /** Called once, when both directions have ended. */
  onEnd: () => void;
  onFailure: (error: VsockboxError) => void;
}

/** Sends and receives as fast as the socket allows, until the limit or {@link stopSending}. */
export class BulkStream implements TestStream {
  sentBytes = 0;
  receivedBytes = 0;
  readonly #options: BulkStreamOptions;
  /** Bytes of the present message that are sent already. */
  #offset = 0;
  #isSending: boolean;
  #isReceiving: boolean;

  constructor(options: BulkStreamOptions) {
    this.#options = options;
    this.#isSending = options.message !== undefined;
    this.#isReceiving = options.buffer !== undefined;
    options.loop.add(options.fd, this.#events(), (events) => this.#onEvents(events));
  }

  get isEnded(): boolean {
    return !this.#isSending && !this.#isReceiving;
  }

  stopSending(): void {
    if (!this.#isSending) return;
    shutdownWrite(this.#options.fd);
    this.#isSending = false;
    this.#update();
  }

  close(): void {
    this.#isSending = false;
    this.#isReceiving = false;
    this.#options.loop.remove(this.#options.fd);
  }

  #events(): number {
    return (this.#isSending ? EPOLLOUT : 0) | (this.#isReceiving ? EPOLLIN : 0);
  }

  #update(): void {
    const { loop, fd, onEnd } = this.#options;
    if (!this.isEnded) return loop.modify(fd, this.#events());
    loop.remove(fd);
    onEnd();
  }

  #onEvents(events: number): void {
    if (this.#isReceiving && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) !== 0) this.#receive();
    if (this.#isSending && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0) this.#send();
  }

  #send(): void {
    const { fd, message = new Uint8Array(1), limitBytes } = this.#options;
    for (let turn = 0; turn < CALLS_PER_TURN; turn++) {
      const length = Math.min(message.length, this.#offset + limitBytes - this.sentBytes);
      const isWhole = this.#offset === 0 && length === message.length;
      const chunk = isWhole ? message : message.subarray(this.#offset, length);
      const count = writeDescriptor(fd, chunk);
      if (count < 0) return this.#pauseOrFail(-count, "write to");
      this.sentBytes += count;
      this.#offset = (this.#offset + count) % message.length;
      if (this.sentBytes >= limitBytes) return this.stopSending();
      if (count < chunk.length) return;
    }
  }

  #receive(): void {
    const { fd, buffer = new Uint8Array(1) } = this.#options;
    for (let turn = 0; turn < CALLS_PER_TURN; turn++) {
      const count = readDescriptor(fd, buffer);
      if (count < 0) return this.#pauseOrFail(-count, "read from");
      if (count === 0) {
        this.#isReceiving = false;
        return this.#update();
      }
      this.receivedBytes += count;
      if (count < buffer.length) return;
    }
  }

  #pauseOrFail(errno: number, operation: "read from" | "write to"): void {
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return;
    this.close();
    this.#options.onFailure(streamError(errno, operation));
  }
}

/** The error of a system call on a stream. */
export function streamError(errno: number, operation: "read from" | "write to"): VsockboxError {
  return systemError(errno, {
    code: "TRANSPORT",
    operation,
    address: "a connection of the test",
  });
}
