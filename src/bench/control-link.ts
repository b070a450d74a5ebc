/** The control connection of a test in an event loop, at either end. */
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { ERRNO } from "../ffi/errno.ts";
import { EPOLLIN } from "../ffi/epoll.ts";
import { readDescriptor, writeDescriptor } from "../ffi/socket.ts";
import type { EventLoop } from "../io/event-loop.ts";
import { ControlDecoder, type ControlMessage, encodeControl } from "../protocols/bench/control.ts";
import { streamError } from "./bulk-stream.ts";

const READ_BYTES = 4096;

/** Options of {@link ControlLink}. */
export interface ControlLinkOptions {
  loop: EventLoop;
  /** A connected, non-blocking socket; the caller closes it. */
  fd: number;
  onMessage: (message: ControlMessage) => void;
  /** Called once: the peer has closed the connection, or it is broken, or sent something else. */
  onEnd: (error: VsockboxError) => void;
}

/** Sends and receives messages. */
export class ControlLink {
  readonly #options: ControlLinkOptions;
  readonly #decoder = new ControlDecoder();
  readonly #buffer = new Uint8Array(READ_BYTES);

  constructor(options: ControlLinkOptions) {
    this.#options = options;
    options.loop.add(options.fd, EPOLLIN, () => this.#receive());
  }

  /** Sends a message. The few messages of a test fit into every socket's buffer. */
  send(message: ControlMessage): void {
    const bytes = encodeControl(message);
    const count = writeDescriptor(this.#options.fd, bytes);
    if (count !== bytes.length) this.#end(streamError(count < 0 ? -count : 0, "write to"));
  }

  /** Stops watching the connection. */
  close(): void {
    this.#options.loop.remove(this.#options.fd);
  }

  #receive(): void {
    const { fd, onMessage } = this.#options;
    const count = readDescriptor(fd, this.#buffer);
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) return;
    if (count < 0) return this.#end(streamError(-count, "read from"));
    if (count === 0) return this.#end(closedByPeer());
    try {
      const messages = this.#decoder.push(this.#buffer.subarray(0, count));
      for (const message of messages) onMessage(message);
    } catch (thrown) {
      this.#end(toVsockboxError(thrown));
    }
  }

  #end(error: VsockboxError): void {
    this.close();
    this.#options.onEnd(error);
  }
}

function closedByPeer(): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation: "continue with",
    address: "the test",
    message: "the peer has closed the connection",
  });
}
