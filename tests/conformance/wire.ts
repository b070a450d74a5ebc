/**
 * The frames of the agent protocol, made and taken apart by hand: nothing here comes from the codec
 * under src/, so that a mistake there cannot hide itself.
 */
import type { SocketStream } from "../../src/io/stream.ts";

/** Frame types, by the names that the protocol gives them. */
export const Type = {
  Exec: 1,
  ExecResult: 2,
  Stdout: 3,
  Stderr: 4,
  Signal: 5,
  Ready: 6,
  Stdin: 7,
  Resize: 8,
  ExecTTY: 9,
  Exit: 10,
  ExecStream: 11,
  ExecPipe: 12,
  PortForward: 13,
  WriteFile: 14,
  ReadFile: 15,
  ListFiles: 16,
  FileResult: 17,
  Hello: 64,
} as const;

const NAMES = new Map<number, string>(Object.entries(Type).map(([name, type]) => [type, name]));

/** A type's name, or its number where it has none. */
export function typeName(type: number): string {
  return NAMES.get(type) ?? `type ${type}`;
}

/** A frame as it came over the wire. */
export interface RawFrame {
  type: number;
  payload: Buffer;
}

/** The five bytes before a payload, with any length. */
export function header(type: number, length: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** A whole frame; text goes as UTF-8. */
export function frame(type: number, payload: Uint8Array | string = ""): Buffer {
  const bytes = Buffer.from(payload as Uint8Array);
  return Buffer.concat([header(type, bytes.length), bytes]);
}

/** A frame with a JSON payload. */
export function jsonFrame(type: number, value: unknown): Buffer {
  return frame(type, JSON.stringify(value));
}

/** Resize: u16 rows, u16 columns, both big-endian. */
export function resizeFrame(rows: number, cols: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16BE(rows, 0);
  payload.writeUInt16BE(cols, 2);
  return frame(Type.Resize, payload);
}

/** Frames in few words, for a report. */
export function describeFrames(frames: readonly RawFrame[]): string {
  if (frames.length === 0) return "a close without a frame";
  const shown = frames.slice(0, 6).map(({ type, payload }) => {
    const readable = type === Type.Exit ? payload.toString("hex") : payload.toString("latin1");
    const text = readable.length > 80 ? `${readable.slice(0, 80)}…` : readable;
    return `${typeName(type)}(${JSON.stringify(text)})`;
  });
  const more = frames.length > 6 ? ` and ${frames.length - 6} more` : "";
  return `${shown.join(", ")}${more}`;
}

/** What was seen in place of what the protocol demands. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** One connection with the agent under test. */
export class Wire {
  readonly #stream: SocketStream;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(stream: SocketStream) {
    this.#stream = stream;
  }

  /**
   * Sends bytes as they are; resolves when the kernel has them. An agent may close while bytes are
   * still on their way; what it answered tells more than the broken write.
   */
  async send(...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) {
      try {
        await this.#stream.write(part);
      } catch {
        return;
      }
    }
  }

  /** Ends this side's output and still reads. */
  async endOutput(): Promise<void> {
    await this.#stream.end().catch(() => undefined);
  }

  /** Leaves, as a host does that is gone. */
  close(): void {
    this.#stream.abort();
  }

  /** Bytes as they come, frames or not; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    const kept = this.#chunks.shift();
    if (kept !== undefined) {
      this.#bytes -= kept.length;
      return kept;
    }
    try {
      return await this.#stream.read();
    } catch {
      // A reset is an end, too: some transports know no other way to close with bytes unread.
      return undefined;
    }
  }

  /** All that is left, as raw bytes. */
  async readAll(): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  }

  /** Exactly `count` raw bytes; fewer only at the end. */
  async readExactly(count: number): Promise<Buffer> {
    while (this.#bytes < count) {
      let chunk: Uint8Array | undefined;
      try {
        chunk = await this.#stream.read();
      } catch {
        chunk = undefined;
      }
      if (chunk === undefined) break;
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
    }
    const [first] = this.#chunks;
    const whole =
      first !== undefined && this.#chunks.length === 1
        ? Buffer.from(first.buffer, first.byteOffset, first.length)
        : Buffer.concat(this.#chunks);
    const rest = whole.subarray(count);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return whole.subarray(0, count);
  }

  /** The next frame, or undefined where the agent closed. */
  async next(): Promise<RawFrame | undefined> {
    const head = await this.readExactly(5);
    if (head.length === 0) return undefined;
    if (head.length < 5)
      throw new Failure(`the agent closed inside a header: ${head.toString("hex")}`);
    const length = head.readUInt32BE(1);
    const payload = await this.readExactly(length);
    if (payload.length < length) {
      throw new Failure(`the agent closed ${length - payload.length} bytes before a frame's end`);
    }
    return { type: head.readUInt8(0), payload };
  }

  /** All frames until the agent closes. */
  async frames(): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    for (;;) {
      const next = await this.next();
      if (next === undefined) return frames;
      frames.push(next);
    }
  }

  /** Reads frames until their payloads of a type contain `wanted`; gives those payloads. */
  async until(type: number, wanted: string): Promise<string> {
    const frames: RawFrame[] = [];
    for (;;) {
      const next = await this.next();
      if (next === undefined || next.type === Type.Exit || next.type === Type.ExecResult) {
        const seen = describeFrames(next === undefined ? frames : [...frames, next]);
        throw new Failure(`${JSON.stringify(wanted)} did not come, but ${seen}`);
      }
      frames.push(next);
      const text = textOf(frames, type);
      if (text.includes(wanted)) return text;
    }
  }
}

/** The payloads of all frames of a type, put together. */
export function bytesOf(frames: readonly RawFrame[], type: number): Buffer {
  return Buffer.concat(frames.filter((one) => one.type === type).map(({ payload }) => payload));
}

/** {@link bytesOf} as text. */
export function textOf(frames: readonly RawFrame[], type: number): string {
  return bytesOf(frames, type).toString();
}
