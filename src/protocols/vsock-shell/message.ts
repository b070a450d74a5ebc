/**
 * Messages of vsock-shell: `u32 magic, u32 type, u32 length`, little-endian as on every
 * architecture that the C programs run on, then `length` bytes.
 */
import { VsockboxError } from "../../errors.ts";
import { withArticle } from "../../text/article.ts";

/** In front of every message. */
export const MAGIC = 0xcafe_babe;

/** Magic, type and length, in bytes. */
export const SHELL_HEADER_BYTES = 12;

/** Most data in one message of the C programs, in bytes. */
export const MAX_SHELL_DATA_BYTES = 4096;

/** Most data in one message of a terminal whose both ends are ours, in bytes. */
export const LARGE_DATA_BYTES = 64 * 1024;

/** The types, with the direction in which they travel: to the client (c) or to the server (s). */
export const Type = {
  /** c: the terminal's output. */
  PtyData: 0x07,
  /** s: a shell. c: the answer to a client that asked for more than the C programs can. */
  OpenBash: 0x08,
  /** s: a command, NUL at its end. c: as {@link Type.OpenBash}. */
  OpenCommand: 0x09,
  /** s: `struct winsize`. */
  WindowSize: 0x0a,
  /** s: the terminal's input. */
  ClientData: 0x0b,
  /** c: the session is over. */
  ClientEnd: 0x0c,
  /** s: `SRC DST`. */
  UploadStart: 0x0d,
  /** s: `SRC DST`. */
  DownloadStart: 0x0e,
  /** c: answer to an upload. */
  ReadySend: 0x0f,
  /** c: answer to a download. */
  ReadyReceive: 0x10,
  FileData: 0x11,
  FileDataEnd: 0x12,
  FileDataBegin: 0x13,
  FileDataEndAck: 0x14,
} as const;

/** One of {@link Type}. */
export type Type = (typeof Type)[keyof typeof Type];

function isType(type: number): type is Type {
  return type >= Type.PtyData && type <= Type.FileDataEndAck;
}

const NAMES = new Map<number, string>(Object.entries(Type).map(([name, type]) => [type, name]));

/** A type's name, for messages. */
export function typeName(type: number): string {
  return NAMES.get(type) ?? `0x${type.toString(16).padStart(2, "0")}`;
}

/** One message. The data is a view into what came in. */
export interface Message {
  type: Type;
  data: Uint8Array;
}

/** The error for what the protocol does not allow. */
export function badShellMessage(message: string, hint?: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read message", message, hint });
}

/** Writes a header into a buffer. */
export function fillHeader(buffer: Uint8Array, at: number, type: Type, length: number): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset + at, SHELL_HEADER_BYTES);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, type, true);
  view.setUint32(8, length, true);
}

const NOTHING = new Uint8Array(0);

/** One message as bytes. */
export function encodeMessage(type: Type, data: Uint8Array = NOTHING): Uint8Array {
  const message = new Uint8Array(SHELL_HEADER_BYTES + data.length);
  fillHeader(message, 0, type, data.length);
  message.set(data, SHELL_HEADER_BYTES);
  return message;
}

/** Bytes as messages of one type with at most `limit` bytes each, in one buffer. */
export function encodeMessages(type: Type, bytes: Uint8Array, limit: number): Uint8Array {
  const count = Math.ceil(bytes.length / limit);
  const encoded = new Uint8Array(bytes.length + count * SHELL_HEADER_BYTES);
  for (let index = 0, at = 0; index < count; index++) {
    const piece = bytes.subarray(index * limit, (index + 1) * limit);
    fillHeader(encoded, at, type, piece.length);
    encoded.set(piece, at + SHELL_HEADER_BYTES);
    at += SHELL_HEADER_BYTES + piece.length;
  }
  return encoded;
}

/**
 * Splits a stream into messages. Push a chunk, then read messages until there is none. It holds at most
 * one unfinished message and the chunk after it.
 */
export class ShellMessageReader {
  #limit: number;
  #buffer: Uint8Array = NOTHING;
  #begin = 0;
  #end = 0;
  /** Whether the buffer was made here, so that bytes may be appended. */
  #owned = false;

  constructor(limit: number = MAX_SHELL_DATA_BYTES) {
    this.#limit = limit;
  }

  /** Changes the limit for the messages that are still to come, in bytes of data. */
  set limit(bytes: number) {
    this.#limit = bytes;
  }

  /** Whether it holds the beginning of a message. */
  get isInside(): boolean {
    return this.#begin < this.#end;
  }

  /** Adds a chunk, which must not change afterwards. */
  feed(chunk: Uint8Array): void {
    const held = this.#end - this.#begin;
    if (held === 0) {
      this.#buffer = chunk;
      this.#begin = 0;
      this.#end = chunk.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#buffer.length - this.#end < chunk.length) {
      // Twice the need: a message that comes byte by byte is not copied anew with each of them.
      const grown = new Uint8Array((held + chunk.length) * 2);
      grown.set(this.#buffer.subarray(this.#begin, this.#end));
      this.#buffer = grown;
      this.#begin = 0;
      this.#end = held;
      this.#owned = true;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next message, or undefined until more was fed.
   *
   * @throws {VsockboxError} BAD_DATA: wrong magic, a type out of range, more data than the limit.
   */
  next(): Message | undefined {
    const held = this.#end - this.#begin;
    if (held < SHELL_HEADER_BYTES) {
      this.#checkBegin(held);
      return undefined;
    }
    const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset + this.#begin);
    this.#checkMagic(view.getUint32(0, true));
    const type = view.getUint32(4, true);
    const length = view.getUint32(8, true);
    if (!isType(type)) throw badShellMessage(`unknown message type ${typeName(type)}`);
    if (length > this.#limit) {
      throw badShellMessage(
        `${withArticle(typeName(type))} message has ${length} bytes, more than ${this.#limit}`,
      );
    }
    if (held < SHELL_HEADER_BYTES + length) return undefined;
    const begin = this.#begin + SHELL_HEADER_BYTES;
    this.#begin = begin + length;
    return { type, data: this.#buffer.subarray(begin, begin + length) };
  }

  /** Returns the unread bytes: the stream continues in another protocol. */
  takeRest(): Uint8Array {
    const rest = this.#buffer.subarray(this.#begin, this.#end);
    this.#begin = this.#end;
    return rest;
  }

  /** Another protocol is recognised by its first bytes, however few arrive. */
  #checkBegin(held: number): void {
    for (let index = 0; index < Math.min(held, 4); index++) {
      const wanted = (MAGIC >>> (8 * index)) & 0xff;
      if (this.#buffer[this.#begin + index] !== wanted) return this.#checkMagic(undefined);
    }
  }

  #checkMagic(magic: number | undefined): void {
    if (magic === MAGIC) return;
    const seen = magic === undefined ? "" : `, but 0x${magic.toString(16).padStart(8, "0")}`;
    throw badShellMessage(
      `it does not begin with 0x${MAGIC.toString(16)}${seen}`,
      "the other side does not speak vsock-shell; is it another service's port?",
    );
  }
}
