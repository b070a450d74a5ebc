/** A peer of the agent that is none of ours: raw bytes over a Unix socket. */
import { expect } from "bun:test";
import { connect, type Socket } from "node:net";

/** A frame as it came over the wire. */
export interface RawFrame {
  type: number;
  payload: Buffer;
}

/** A connection that sends bytes as they are and collects the answer until the agent closes. */
export class RawPeer {
  readonly socket: Socket;
  readonly answer: Promise<Buffer>;

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.answer = new Promise((resolve) => {
      const chunks: Buffer[] = [];
      this.socket.on("data", (chunk) => void chunks.push(chunk as Buffer));
      this.socket.on("error", () => undefined);
      this.socket.on("end", () => this.socket.end());
      this.socket.on("close", () => resolve(Buffer.concat(chunks)));
    });
  }

  send(...parts: Uint8Array[]): this {
    for (const part of parts) this.socket.write(part);
    return this;
  }

  /** The frames of the answer, data frames of one type put together. */
  async frames(): Promise<RawFrame[]> {
    let rest = await this.answer;
    const frames: RawFrame[] = [];
    while (rest.length >= 5) {
      const length = rest.readUInt32BE(1);
      frames.push({ type: rest[0] ?? 0, payload: rest.subarray(5, 5 + length) });
      rest = rest.subarray(5 + length);
    }
    expect(rest.length).toBe(0);
    return frames;
  }
}

/** The payloads of all frames of a type as one text. */
export const text = (frames: RawFrame[], type: number) =>
  Buffer.concat(
    frames.filter((frame) => frame.type === type).map(({ payload }) => payload),
  ).toString();

/** The one JSON payload of a type. */
export const json = (frames: RawFrame[], type: number) =>
  JSON.parse(text(frames, type)) as Record<string, unknown>;
