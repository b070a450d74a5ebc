/** One connection of vsock-shell: messages in, messages out. */
import { VsockboxError } from "../errors.ts";
import { setSendBuffer } from "../ffi/socket.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, type DialOptions } from "../net/dial.ts";
import type { SocketAddress } from "../net/address.ts";
import { explainSilentClose } from "../net/silent-close.ts";
import { WrongServiceError } from "../net/wrong-service.ts";
import { RECOGNISED_BYTES, recogniseService } from "../protocols/recognise-service.ts";
import { answerInTime } from "../io/deadline.ts";
import type { SocketStream } from "../io/stream.ts";
import {
  encodeMessage,
  encodeMessages,
  MAX_SHELL_DATA_BYTES,
  type Message,
  ShellMessageReader,
  type Type,
} from "../protocols/vsock-shell/message.ts";
import { SHELL_PORT } from "./ports.ts";

/**
 * A C program keeps unhandled bytes in a buffer of its own; it never gets more than 500,000
 * bytes ahead. Unix sockets have this as SO_SNDBUF (the kernel doubles the number); over AF_VSOCK the credit of
 * a C program is 256 KiB.
 */
const C_PEER_SEND_BUFFER_BYTES = 150_000;

/** The server that a connection was made to, and how. */
export interface DialledServer {
  address: SocketAddress;
  options?: DialOptions | undefined;
}

/** Messages over a stream, for either end. */
export class MessageConnection {
  readonly stream: SocketStream;
  /** Limit for a server's answer, in milliseconds. */
  readonly answerTimeoutMs: number;
  readonly #reader = new ShellMessageReader();
  readonly #server: DialledServer | undefined;
  #head: Uint8Array = new Uint8Array(0);
  #maxData = MAX_SHELL_DATA_BYTES;

  /** @param server on the client's side. */
  constructor(stream: SocketStream, server?: DialledServer) {
    this.stream = stream;
    this.#server = server;
    this.answerTimeoutMs = server?.options?.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
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
   * @throws {VsockboxError} BAD_DATA; TRANSPORT if the connection broke or ended in a message.
   */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#nextOfReader();
      if (message !== undefined) return message;
      const chunk = await this.#explaining(this.stream.read());
      if (chunk === undefined) {
        const silent = await this.#silentClose();
        if (silent !== undefined) throw silent;
        break;
      }
      if (this.#head.length < RECOGNISED_BYTES) {
        this.#head = Buffer.concat([this.#head, chunk.subarray(0, RECOGNISED_BYTES)]);
      }
      this.#reader.feed(chunk);
    }
    if (!this.#reader.isInside) return undefined;
    throw new VsockboxError({
      code: "TRANSPORT",
      operation: "read message",
      message: "the connection ended in the middle of one",
    });
  }

  #nextOfReader(): Message | undefined {
    try {
      return this.#reader.next();
    } catch (thrown) {
      const service = recogniseService(this.#head);
      if (this.#server === undefined || service === undefined || service === "vsock-shell") {
        throw thrown;
      }
      throw new WrongServiceError(this.#server.address, service, "vsock-shell", thrown);
    }
  }

  /**
   * The next message, which the protocol promises.
   *
   * @throws {VsockboxError} TIMEOUT if it does not come in time, and as {@link next}.
   */
  nextInTime(): Promise<Message | undefined> {
    return answerInTime(this.stream, this.next(), {
      milliseconds: this.answerTimeoutMs,
      what: "reach the vsock-shell server",
    });
  }

  /** Replaces the error of a connection that the server has reset before its first byte. */
  async #explaining<T>(pending: Promise<T>): Promise<T> {
    try {
      return await pending;
    } catch (thrown) {
      const isReset = thrown instanceof VsockboxError && thrown.code === "TRANSPORT";
      throw (isReset ? await this.#silentClose() : undefined) ?? thrown;
    }
  }

  /** Returns the error for a server on a Unix socket that has closed without sending a byte. */
  async #silentClose(): Promise<VsockboxError | undefined> {
    const { address, options } = this.#server ?? {};
    if (address?.kind !== "unix" || this.#head.length > 0) return undefined;
    const expected = { service: "vsock-shell", port: SHELL_PORT, mayHaveServed: true } as const;
    return explainSilentClose(address, expected, options);
  }

  /** Sends one message; resolves when the kernel has it. */
  send(type: Type, data?: Uint8Array): Promise<void> {
    return this.#explaining(this.stream.write(encodeMessage(type, data)));
  }

  /** Sends bytes as messages of one type. */
  sendBytes(type: Type, bytes: Uint8Array): Promise<void> {
    return this.#explaining(this.stream.write(encodeMessages(type, bytes, this.#maxData)));
  }

  /** Sends encoded messages, or parts of them. */
  sendEncoded(bytes: Uint8Array): Promise<void> {
    return this.#explaining(this.stream.write(bytes));
  }

  /** Returns the stream, which continues in another protocol. */
  detach(): SocketStream {
    this.stream.unread(this.#reader.takeRest());
    return this.stream;
  }

  /** Ends the connection after the last message, which the peer still gets. */
  async finish(lingerMs?: number): Promise<void> {
    await this.stream.finish(lingerMs);
  }
}
