/** The server's end of a stream of the latency test: it sends each whole message back. */
import { ERRNO } from "../ffi/errno.ts";
import { EPOLLIN, EPOLLOUT } from "../ffi/epoll.ts";
import { readDescriptor, shutdownWrite, writeDescriptor } from "../ffi/socket.ts";
import type { VsockboxError } from "../errors.ts";
import type { EventLoop } from "../io/event-loop.ts";
import { streamError, type TestStream } from "./bulk-stream.ts";

/** Options of {@link EchoStream}. */
export interface EchoStreamOptions {
  loop: EventLoop;
  /** A connected, non-blocking socket; the caller closes it. */
  fd: number;
  messageBytes: number;
  /** Called once, after the peer has half-closed. */
  onEnd: () => void;
  onFailure: (error: VsockboxError) => void;
}

/**
 * Returns messages. A message is sent after all of it was received: the peer, which reads only then,
 * could otherwise block with this end.
 */
export class EchoStream implements TestStream {
  sentBytes = 0;
  receivedBytes = 0;
  isEnded = false;
  readonly #options: EchoStreamOptions;
  readonly #message: Uint8Array;
  /** Bytes of the present message that were received, then those that were sent. */
  #filled = 0;
  #isSending = false;

  constructor(options: EchoStreamOptions) {
    this.#options = options;
    this.#message = new Uint8Array(options.messageBytes);
    options.loop.add(options.fd, EPOLLIN, () => (this.#isSending ? this.#send() : this.#receive()));
  }

  /** The peer ends this test. */
  stopSending(): void {
    // Nothing is sent that was not received.
  }

  close(): void {
    this.isEnded = true;
    this.#options.loop.remove(this.#options.fd);
  }

  #receive(): void {
    const count = readDescriptor(this.#options.fd, this.#message.subarray(this.#filled));
    if (count < 0) return this.#pauseOrFail(-count, "read from");
    if (count === 0) return this.#end();
    this.receivedBytes += count;
    this.#filled += count;
    if (this.#filled < this.#message.length) return;
    this.#filled = 0;
    this.#send();
  }

  #send(): void {
    const { loop, fd } = this.#options;
    const count = writeDescriptor(fd, this.#message.subarray(this.#filled));
    if (count < 0 && -count !== ERRNO.EAGAIN) return this.#pauseOrFail(-count, "write to");
    this.sentBytes += Math.max(0, count);
    this.#filled += Math.max(0, count);
    const isIncomplete = this.#filled < this.#message.length;
    if (isIncomplete !== this.#isSending) loop.modify(fd, isIncomplete ? EPOLLOUT : EPOLLIN);
    this.#isSending = isIncomplete;
    if (!isIncomplete) this.#filled = 0;
  }

  #end(): void {
    shutdownWrite(this.#options.fd);
    this.close();
    this.#options.onEnd();
  }

  #pauseOrFail(errno: number, operation: "read from" | "write to"): void {
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return;
    this.close();
    this.#options.onFailure(streamError(errno, operation));
  }
}
