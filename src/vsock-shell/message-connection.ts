/** One connection of vsock-shell: messages in, messages out. */
import { VsockboxError } from "../errors.ts";
import { setSendBuffer } from "../ffi/socket.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS } from "../net/dial.ts";
import { answerInTime } from "../net/retry.ts";
import type { SocketStream } from "../net/stream.ts";
import {
  encodeMessage,
  encodeMessages,
  MAX_DATA_BYTES,
  type Message,
  MessageReader,
} from "../protocols/vsock-shell/message.ts";

/**
 * A C program keeps what it has not handled in a buffer of its own; it never gets more than 500,000
 * bytes ahead. Unix sockets are told so (the kernel doubles the number); over AF_VSOCK the credit of
 * a C program is 256 KiB.
 */
const C_PEER_SEND_BUFFER_BYTES = 150_000;

/** Messages over a stream, for either end. */
export class MessageConnection {
  readonly stream: SocketStream;
  /** How long the server may take for an answer that the protocol promises, in milliseconds. */
  readonly answerTimeoutMs: number;
  readonly #reader = new MessageReader();
  #maxData = MAX_DATA_BYTES;

  constructor(stream: SocketStream, answerTimeoutMs: number = DEFAULT_CONNECT_TIMEOUT_MS) {
    this.stream = stream;
    this.answerTimeoutMs = answerTimeoutMs;
    setSendBuffer(stream.fd, C_PEER_SEND_BUFFER_BYTES);
  }

  /** Most data in one message that goes out, in bytes. */
  get maxData(): number {
    return this.#maxData;
  }

  /** The other end is one of ours: larger messages go both ways. */
  allowLarge(bytes: number): void {
    this.#maxData = bytes;
    this.#reader.limit = bytes;
  }

  /**
   * The next message; undefined at end of input.
   *
   * @throws {VsockboxError} BAD_DATA; TRANSPORT where the connection broke or ended in a message.
   */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#reader.next();
      if (message !== undefined) return message;
      const chunk = await this.stream.read();
      if (chunk === undefined) break;
      this.#reader.feed(chunk);
    }
    if (!this.#reader.isInside) return undefined;
    throw new VsockboxError({
      code: "TRANSPORT",
      operation: "read message",
      message: "the connection ended in the middle of one",
    });
  }

  /**
   * The next message, which the protocol promises.
   *
   * @throws {VsockboxError} TIMEOUT where it does not come in time, and as {@link next}.
   */
  nextInTime(): Promise<Message | undefined> {
    return answerInTime(this.stream, this.next(), {
      milliseconds: this.answerTimeoutMs,
      what: "wait for the vsock-shell server",
    });
  }

  /** Sends one message; resolves when the kernel has it. */
  send(type: number, data?: Uint8Array): Promise<void> {
    return this.stream.write(encodeMessage(type, data));
  }

  /** Sends bytes as messages of one type. */
  sendBytes(type: number, bytes: Uint8Array): Promise<void> {
    return this.stream.write(encodeMessages(type, bytes, this.#maxData));
  }

  /** Sends encoded messages, or parts of them. */
  sendEncoded(bytes: Uint8Array): Promise<void> {
    return this.stream.write(bytes);
  }

  /** Gives the stream back: it goes on in another protocol. */
  detach(): SocketStream {
    this.stream.unread(this.#reader.takeRest());
    return this.stream;
  }

  /** Ends the connection after the last message, which the peer still gets. */
  async finish(lingerMs?: number): Promise<void> {
    await this.stream.finish(lingerMs);
  }
}
