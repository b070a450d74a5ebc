/** The server's side of the hybrid-vsock handshake: reads `CONNECT <port>\n`, writes `OK <n>\n`. */
import { VsockboxError } from "../../errors.ts";
import { HANDSHAKE_LINE_MAX_BYTES } from "./handshake.ts";

const NEWLINE = 0x0a;
const U32_MAX = 0xffff_ffff;

/** Unicode's White_Space, by which both peers split the line: Rust's `split_whitespace`. */
const WHITE_SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

/** The first number that is assigned, as in Firecracker: above it are host-side ports. */
export const FIRST_ASSIGNED_PORT = 0x4000_0000;

/** Returns the number after `port`. */
export function nextAssignedPort(port: number): number {
  // The highest one means "any port" on vsock.
  return port >= U32_MAX - 1 ? FIRST_ASSIGNED_PORT : port + 1;
}

/** `OK <n>\n`. */
export function encodeOk(assignedPort: number): Uint8Array {
  return new TextEncoder().encode(`OK ${assignedPort}\n`);
}

/** What {@link ConnectLineReader.push} made of the bytes so far. */
export interface ConnectLine {
  port: number;
  /** Bytes after the newline: they belong to the stream. */
  rest: Uint8Array;
}

/** Reads a client's `CONNECT <port>\n` from chunks of any size, and never keeps more than a line. */
export class ConnectLineReader {
  #line: number[] = [];

  /** Whether any byte came. */
  get isEmpty(): boolean {
    return this.#line.length === 0;
  }

  /**
   * Reads the next chunk.
   *
   * @returns undefined while the line is incomplete.
   * @throws {VsockboxError} BAD_DATA for anything else than `CONNECT <u32>\n` within 32 bytes: the
   * word in any case, the number with a plus sign or without, any white space around the two, and
   * after that any further words. Firecracker and vhost-device-vsock read it so.
   */
  push(chunk: Uint8Array): ConnectLine | undefined {
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] ?? 0;
      if (byte === NEWLINE) return { port: this.#parse(), rest: chunk.subarray(index + 1) };
      this.#line.push(byte);
      if (this.#line.length >= HANDSHAKE_LINE_MAX_BYTES) {
        throw bad(`no line of at most ${HANDSHAKE_LINE_MAX_BYTES} bytes`);
      }
    }
    return undefined;
  }

  #parse(): number {
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        new Uint8Array(this.#line),
      );
    } catch {
      throw bad("a line that is not UTF-8");
    }
    const [word = "", number = ""] = text.split(WHITE_SPACE).filter((part) => part !== "");
    const port = /^\+?[0-9]+$/.test(number) ? Number(number) : Number.NaN;
    if (word.toLowerCase() !== "connect" || !(port <= U32_MAX)) throw bad(JSON.stringify(text));
    return port;
  }
}

function bad(got: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "perform the hybrid-vsock handshake",
    message: `expected "CONNECT <port>", got ${got}`,
  });
}
