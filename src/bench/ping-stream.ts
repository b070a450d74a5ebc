/**
 * The client's end of a stream of the latency test: one message at a time, measured until it has come
 * back.
 *
 * Without an interval the next message is sent as soon as the last one is back. A pause of the peer then
 * delays one message, and those that would have been sent in it are missing from the histogram
 * ("coordinated omission"). With an interval each message is due at a time of its own, and its latency
 * counts from that time, even if it could only be sent later.
 */
import { ERRNO } from "../ffi/errno.ts";
import { EPOLLIN, EPOLLOUT } from "../ffi/epoll.ts";
import { readDescriptor, shutdownWrite, writeDescriptor } from "../ffi/socket.ts";
import type { VsockboxError } from "../errors.ts";
import type { EventLoop } from "../io/event-loop.ts";
import { streamError, type TestStream } from "./bulk-stream.ts";

/** A message that is due within this time is waited for without sleeping: timers have milliseconds. */
const SPIN_NS = 1_500_000;

const NS_PER_MS = 1_000_000;

/** Options of {@link PingStream}. */
export interface PingStreamOptions {
  loop: EventLoop;
  /** A connected, non-blocking socket; the caller closes it. */
  fd: number;
  messageBytes: number;
  /** Between the times at which two messages are due; undefined: one directly after the other. */
  intervalNs: number | undefined;
  /** Receives the latency of each message and the time of its return, by Bun.nanoseconds(). */
  onLatency: (latencyNs: number, nowNs: number) => void;
  /** Called once, after the last message is back and the peer has half-closed. */
  onEnd: () => void;
  onFailure: (error: VsockboxError) => void;
}

/** Sends messages from its construction until {@link stopSending}. */
export class PingStream implements TestStream {
  sentBytes = 0;
  receivedBytes = 0;
  isEnded = false;
  readonly #options: PingStreamOptions;
  readonly #message: Uint8Array;
  /** Bytes of the present message that were sent, and received. */
  #sent = 0;
  #received = 0;
  /** Whether the socket has to accept the rest of the present message. */
  #isPartial = false;
  /** When the present message was due, by Bun.nanoseconds(). */
  #dueNs = Bun.nanoseconds();
  #isWaiting = true;
  #isStopping = false;
  #hasShutDown = false;

  constructor(options: PingStreamOptions) {
    this.#options = options;
    this.#message = new Uint8Array(options.messageBytes);
    options.loop.add(options.fd, EPOLLIN, (events) => {
      if ((events & EPOLLOUT) !== 0) this.#send();
      else this.#receive();
    });
  }

  stopSending(): void {
    this.#isStopping = true;
    if (this.#isWaiting) this.#shutDown();
  }

  close(): void {
    this.isEnded = true;
    this.#options.loop.remove(this.#options.fd);
  }

  /** Sends the next message if it is due; called in each round of the loop. */
  onRound(nowNs: number): void {
    if (!this.#isWaiting || this.#isStopping || this.isEnded) return;
    const { loop } = this.#options;
    const leftNs = this.#dueNs - nowNs;
    if (leftNs <= 0) this.#begin();
    else if (leftNs <= SPIN_NS) loop.again();
    else loop.noLaterThan(performance.now() + (leftNs - SPIN_NS) / NS_PER_MS);
  }

  #begin(): void {
    this.#isWaiting = false;
    this.#sent = 0;
    this.#received = 0;
    this.#send();
  }

  #send(): void {
    const { loop, fd } = this.#options;
    const count = writeDescriptor(fd, this.#message.subarray(this.#sent));
    if (count < 0 && -count !== ERRNO.EAGAIN) return this.#pauseOrFail(-count, "write to");
    this.#sent += Math.max(0, count);
    this.sentBytes += Math.max(0, count);
    const isPartial = this.#sent < this.#message.length;
    if (isPartial !== this.#isPartial) loop.modify(fd, isPartial ? EPOLLOUT : EPOLLIN);
    this.#isPartial = isPartial;
  }

  #receive(): void {
    const { fd, onEnd } = this.#options;
    const count = readDescriptor(fd, this.#message.subarray(this.#received));
    if (count < 0) return this.#pauseOrFail(-count, "read from");
    if (count === 0 && this.#hasShutDown) {
      this.close();
      return onEnd();
    }
    if (count === 0) return this.#pauseOrFail(ERRNO.ECONNRESET, "read from");
    this.#received += count;
    this.receivedBytes += count;
    if (this.#received === this.#message.length) this.#finish();
  }

  #finish(): void {
    const { intervalNs, onLatency } = this.#options;
    const nowNs = Bun.nanoseconds();
    onLatency(nowNs - this.#dueNs, nowNs);
    this.#received = 0;
    this.#isWaiting = true;
    this.#dueNs = intervalNs === undefined ? nowNs : this.#dueNs + intervalNs;
    if (this.#isStopping) this.#shutDown();
    else if (this.#dueNs <= nowNs) this.#begin();
  }

  #shutDown(): void {
    if (this.#hasShutDown || this.isEnded) return;
    this.#hasShutDown = true;
    shutdownWrite(this.#options.fd);
  }

  #pauseOrFail(errno: number, operation: "read from" | "write to"): void {
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return;
    this.close();
    this.#options.onFailure(streamError(errno, operation));
  }
}
