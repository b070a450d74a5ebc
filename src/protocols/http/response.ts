/**
 * The answer to one HTTP/1.1 request on a connection that is closed afterwards (RFC 9112), from chunks
 * of any size and with bounds: a status line, header fields, and a body with a Content-Length, or up to
 * the end of input. Chunked bodies are refused, since small servers that know their answers send none;
 * chunked-body.ts reads those of streams.
 */
import { VsockboxError } from "../../errors.ts";

/** Largest status line and header fields together, in bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

const END_OF_HEAD = Buffer.from("\r\n\r\n");

/** A whole answer. */
export interface HttpResponse {
  status: number;
  body: Uint8Array;
}

/** The part of a response before its body. */
export interface ResponseHead {
  status: number;
  /** Undefined: the body is chunked, or ends with the input. */
  bodyBytes: number | undefined;
  isChunked: boolean;
  /** Its size, in bytes: the body begins there. */
  headBytes: number;
}

/**
 * Reads the beginning of a response.
 *
 * @returns undefined while it is incomplete.
 * @throws {VsockboxError} BAD_DATA for anything that is not a response, or beyond the bound.
 */
export function readResponseHead(bytes: Uint8Array): ResponseHead | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = buffer.indexOf(END_OF_HEAD);
  if (end > MAX_HEAD_BYTES || (end === -1 && bytes.length > MAX_HEAD_BYTES)) {
    throw bad(`its header fields have more than ${MAX_HEAD_BYTES} bytes`);
  }
  if (end === -1) return undefined;
  return { ...parseHead(buffer.toString("latin1", 0, end)), headBytes: end + END_OF_HEAD.length };
}

/** Reads one response. */
export class HttpResponseReader {
  readonly #maxBodyBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #head: ResponseHead | undefined;

  /** @param maxBodyBytes largest body that is read, in bytes. */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /**
   * Consumes the next chunk.
   *
   * @returns undefined while the response is incomplete.
   * @throws {VsockboxError} BAD_DATA for anything that is not such a response, or beyond the bounds.
   */
  push(chunk: Uint8Array): HttpResponse | undefined {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#head ??= this.#readHead();
    if (this.#head === undefined) return undefined;
    const { status, bodyBytes } = this.#head;
    if ((bodyBytes ?? this.#bytes) > this.#maxBodyBytes) {
      throw bad(`its body has more than ${this.#maxBodyBytes} bytes`);
    }
    if (bodyBytes === undefined || this.#bytes < bodyBytes) return undefined;
    return { status, body: Buffer.concat(this.#chunks).subarray(0, bodyBytes) };
  }

  /**
   * The input has ended.
   *
   * @returns the response if its body has no other end.
   * @throws {VsockboxError} BAD_DATA for one that is incomplete.
   */
  end(): HttpResponse {
    if (this.#head === undefined || this.#head.bodyBytes !== undefined) {
      throw bad("it ends too early");
    }
    return { status: this.#head.status, body: Buffer.concat(this.#chunks) };
  }

  #readHead(): ResponseHead | undefined {
    const bytes = Buffer.concat(this.#chunks);
    const head = readResponseHead(bytes);
    if (head === undefined) {
      this.#chunks = [bytes];
      return undefined;
    }
    if (head.isChunked) throw bad("its body is chunked");
    const rest = bytes.subarray(head.headBytes);
    this.#chunks = [rest];
    this.#bytes = rest.length;
    return head;
  }
}

function parseHead(text: string): Omit<ResponseHead, "headBytes"> {
  const [line = "", ...fields] = text.split("\r\n");
  const status = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |$)/.exec(line)?.[1];
  if (status === undefined) throw bad("it has no status line of HTTP/1.1");
  let bodyBytes: number | undefined;
  let isChunked = false;
  for (const field of fields) {
    const [, name = "", value = ""] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(field) ?? [];
    switch (name.toLowerCase()) {
      case "transfer-encoding":
        if (value.toLowerCase() !== "chunked") throw bad("its Transfer-Encoding is unknown");
        isChunked = true;
        break;
      case "content-length":
        if (bodyBytes !== undefined || !/^[0-9]{1,15}$/.test(value)) {
          throw bad("its Content-Length is not one number");
        }
        bodyBytes = Number(value);
    }
  }
  return { status: Number(status), bodyBytes, isChunked };
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read HTTP response", message });
}
