/**
 * A chunked body (RFC 9112, section 7.1) from pieces of any size:
 *
 *     SIZE[;EXTENSION]\r\n BYTES \r\n … 0\r\n [FIELD\r\n …] \r\n
 *
 * SIZE is hexadecimal. Extensions and the fields at the end are read over.
 */
import { VsockboxError } from "../../errors.ts";

/** Largest line, in bytes. */
const MAX_LINE_BYTES = 256;
const LINE_FEED = 0x0a;

/** Reads one body. */
export class ChunkedBodyReader {
  #line = "";
  /** Bytes of the present chunk that are still to come. */
  #left = 0;
  /** Which line comes next: a size, the empty one after a chunk, or one of the fields at the end. */
  #next: "size" | "end of chunk" | "field" = "size";
  #isOver = false;

  /** Whether the body is complete. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Consumes a piece.
   *
   * @returns the bytes of the body in it, as views of the piece. Bytes after the body are ignored.
   * @throws {VsockboxError} BAD_DATA for anything that is not such a body.
   */
  push(piece: Uint8Array): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < piece.length && !this.#isOver;) {
      if (this.#left > 0) {
        const part = piece.subarray(at, at + this.#left);
        parts.push(part);
        this.#left -= part.length;
        at += part.length;
        continue;
      }
      const end = piece.indexOf(LINE_FEED, at);
      const rest = piece.subarray(at, end === -1 ? piece.length : end);
      this.#line += Buffer.from(rest).toString("latin1");
      if (this.#line.length > MAX_LINE_BYTES) throw bad("a line is too long");
      if (end === -1) break;
      this.#onLine(this.#line);
      this.#line = "";
      at = end + 1;
    }
    return parts;
  }

  #onLine(text: string): void {
    if (!text.endsWith("\r")) throw bad("a line does not end with CR LF");
    const line = text.slice(0, -1);
    switch (this.#next) {
      case "size": {
        const digits = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
        if (digits === undefined) throw bad("the size of a chunk is not a number");
        this.#left = Number.parseInt(digits, 16);
        this.#next = this.#left === 0 ? "field" : "end of chunk";
        break;
      }
      case "end of chunk":
        if (line !== "") throw bad("a chunk is longer than its size");
        this.#next = "size";
        break;
      case "field":
        this.#isOver = line === "";
    }
  }
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read HTTP body", message });
}
