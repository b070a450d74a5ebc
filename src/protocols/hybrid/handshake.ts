/**
 * The text that begins a hybrid-vsock connection: `CONNECT <port>\n` from the client, `OK <n>\n`
 * from the VMM, then raw bytes. Firecracker's docs/vsock.md.
 */
import { VsockboxError } from "../../errors.ts";

/** Longest line in bytes, newline included, that either side accepts. */
export const HANDSHAKE_LINE_MAX_BYTES = 32;

const NEWLINE = 0x0a;

/** `CONNECT <port>\n`. */
export function encodeConnect(port: number): Uint8Array {
  return new TextEncoder().encode(`CONNECT ${port}\n`);
}

/** What {@link HandshakeReader.push} made of the bytes so far. */
export interface HandshakeDone {
  /** The number in `OK <n>`: the host-side port that the VMM assigned to the connection. */
  assignedPort: number;
  /** Bytes after the newline: they belong to the stream. */
  rest: Uint8Array;
}

/** Reads the VMM's `OK <n>\n` from chunks of any size. */
export class HandshakeReader {
  #line: number[] = [];

  /**
   * Reads the next chunk.
   *
   * @returns undefined while the line is incomplete.
   * @throws {VsockboxError} BAD_DATA for anything else than `OK <u32>\n` within 32 bytes.
   */
  push(chunk: Uint8Array): HandshakeDone | undefined {
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] ?? 0;
      if (byte === NEWLINE) {
        return { assignedPort: this.#parse(), rest: chunk.subarray(index + 1) };
      }
      this.#line.push(byte);
      if (this.#line.length >= HANDSHAKE_LINE_MAX_BYTES) throw this.#bad();
    }
    return undefined;
  }

  #parse(): number {
    const match = /^OK +([0-9]{1,10})\r?$/i.exec(this.#text());
    const port = match === null ? Number.NaN : Number(match[1]);
    if (!(port <= 0xffff_ffff)) throw this.#bad();
    return port;
  }

  #text(): string {
    return new TextDecoder().decode(new Uint8Array(this.#line));
  }

  #bad(): VsockboxError {
    return new VsockboxError({
      code: "BAD_DATA",
      operation: "perform the hybrid-vsock handshake",
      message: `expected "OK <port>", got ${JSON.stringify(this.#text())}`,
      hint: "is this the Unix socket of a VMM's vsock device? For a plain Unix socket write unix:PATH",
    });
  }
}
