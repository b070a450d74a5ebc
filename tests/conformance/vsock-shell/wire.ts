/**
 * The messages of vsock-shell, made and taken apart by hand: nothing here comes from the codec under
 * src/, so that a mistake there cannot hide itself.
 */
import { Failure, Wire } from "../wire.ts";
import type { SocketStream } from "../../../src/io/stream.ts";

/** Message types, by the names that the protocol gives them. */
export const Type = {
  PTY_DATA: 0x07,
  OPEN_BASH: 0x08,
  OPEN_CMD: 0x09,
  WINDOW_SIZE: 0x0a,
  CLIENT_DATA: 0x0b,
  CLIENT_END: 0x0c,
  FILE_UPLOAD_START: 0x0d,
  FILE_DOWNLOAD_START: 0x0e,
  FILE_READY_SEND: 0x0f,
  FILE_READY_RECV: 0x10,
  FILE_DATA: 0x11,
  FILE_DATA_END: 0x12,
  FILE_DATA_BEGIN: 0x13,
  FILE_DATA_END_ACK: 0x14,
} as const;

const NAMES = new Map<number, string>(Object.entries(Type).map(([name, type]) => [type, name]));

/** A message as it came over the wire. */
export interface RawMessage {
  type: number;
  data: Buffer;
}

/** The twelve bytes in front of the data, with any length and magic. */
export function header(type: number, length: number, magic = 0xcafe_babe): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(type, 4);
  bytes.writeUInt32LE(length, 8);
  return bytes;
}

/** A whole message; text goes as UTF-8. */
export function message(type: number, data: Uint8Array | string = "", magic?: number): Buffer {
  const bytes = Buffer.from(data as Uint8Array);
  return Buffer.concat([header(type, bytes.length, magic), bytes]);
}

/** `struct winsize` as a message. */
export function windowSize(rows: number, cols: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeUInt16LE(rows, 0);
  data.writeUInt16LE(cols, 2);
  return message(Type.WINDOW_SIZE, data);
}

/** Messages in few words, for a report. */
export function describe(messages: readonly RawMessage[]): string {
  if (messages.length === 0) return "a close without a message";
  const shown = messages.slice(0, 6).map(({ type, data }) => {
    const text = data.toString("latin1");
    const name = NAMES.get(type) ?? `type ${type}`;
    return `${name}(${JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)})`;
  });
  return `${shown.join(", ")}${messages.length > 6 ? ` and ${messages.length - 6} more` : ""}`;
}

/** One connection with the peer under test. */
export class ShellWire {
  readonly #wire: Wire;

  constructor(stream: SocketStream) {
    this.#wire = new Wire(stream);
  }

  /** Sends bytes as they are. */
  send(...parts: Uint8Array[]): Promise<void> {
    return this.#wire.send(...parts);
  }

  /** Leaves, as a peer does that is gone. */
  close(): void {
    this.#wire.close();
  }

  /** The next message, or undefined where the peer closed. */
  async next(): Promise<RawMessage | undefined> {
    const head = await this.#wire.readExactly(12);
    if (head.length === 0) return undefined;
    if (head.length < 12) throw new Failure(`it closed inside a header: ${head.toString("hex")}`);
    if (head.readUInt32LE(0) !== 0xcafe_babe)
      throw new Failure(`no magic: ${head.toString("hex")}`);
    const length = head.readUInt32LE(8);
    const data = await this.#wire.readExactly(length);
    if (data.length < length) throw new Failure(`it closed inside a message of ${length} bytes`);
    return { type: head.readUInt32LE(4), data };
  }

  /** The next message that is no empty PTY_DATA, which only wakes. */
  async nextSaid(): Promise<RawMessage | undefined> {
    for (;;) {
      const next = await this.next();
      if (next?.type !== Type.PTY_DATA || next.data.length > 0) return next;
    }
  }

  /** All messages until the peer closes, but those that only wake. */
  async rest(): Promise<RawMessage[]> {
    const messages: RawMessage[] = [];
    for (let next = await this.nextSaid(); next !== undefined; next = await this.nextSaid()) {
      messages.push(next);
    }
    return messages;
  }

  /** The next message, which must be of this type. */
  async expect(type: number): Promise<Buffer> {
    const next = await this.nextSaid();
    if (next?.type === type) return next.data;
    const seen = describe(next === undefined ? [] : [next]);
    throw new Failure(`expected ${NAMES.get(type) ?? type}, saw ${seen}`);
  }
}

/** The data of all messages of a type, put together. */
export function dataOf(messages: readonly RawMessage[], type: number): Buffer {
  return Buffer.concat(messages.filter((one) => one.type === type).map(({ data }) => data));
}
