import { expect, test } from "bun:test";
import {
  HttpResponseReader,
  type HttpResponse,
  readResponseHead,
} from "../../../../src/protocols/http/response.ts";

const MAX_BODY = 100;

/** The response of these bytes in pieces of `size`; the input ends behind them. */
function read(text: string, size = text.length): { response: HttpResponse; rest: number } {
  const bytes = Buffer.from(text, "latin1");
  const reader = new HttpResponseReader(MAX_BODY);
  for (let at = 0; at < bytes.length; at += size) {
    const response = reader.push(bytes.subarray(at, at + size));
    if (response !== undefined) return { response, rest: Math.max(0, bytes.length - at - size) };
  }
  return { response: reader.end(), rest: 0 };
}

const shown = ({ status, body }: HttpResponse) => [status, Buffer.from(body).toString()];

test.each([
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [200, "hello"]],
  ["HTTP/1.1 200 OK\r\ncontent-length:5 \r\nX: y: z\r\n\r\nhello, and more", [200, "hello"]],
  ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", [200, ""]],
  ["HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n", [413, ""]],
  ["HTTP/1.0 500 No\r\n\r\nuntil the end", [500, "until the end"]],
  [
    `HTTP/1.1 200 OK\r\nContent-Length: ${MAX_BODY}\r\n\r\n${"x".repeat(MAX_BODY)}`,
    [200, "x".repeat(MAX_BODY)],
  ],
])("%j is read, however it is cut", (text, expected) => {
  for (const size of [1, 2, 3, 7, text.length]) {
    expect(shown(read(text, size).response)).toEqual(expected);
  }
});

test("a response with a length is whole before the input ends", () => {
  const text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
  expect(read(`${text}cdef`, 1).rest).toBe(4);
});

test.each([
  ["", "ends too early"],
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "ends too early"],
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "ends too early"],
  ["SSH-2.0-OpenSSH\r\n\r\n", "no status line"],
  ["HTTP/2 200 OK\r\n\r\n", "no status line"],
  ["HTTP/1.1 2000 OK\r\n\r\n", "no status line"],
  ["HTTP/1.1 900 OK\r\n\r\n", "no status line"],
  ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"],
  ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding is unknown"],
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "not one number"],
  ["HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "not one number"],
  ["HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "not one number"],
  [`HTTP/1.1 200 OK\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`, "more than 100 bytes"],
  [`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(MAX_BODY + 1)}`, "more than 100 bytes"],
  [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}`, "more than 16384 bytes"],
  [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, "more than 16384 bytes"],
])("%j is refused", (text, message) => {
  for (const size of [1000, Math.max(1, text.length)]) {
    expect(() => read(text, size)).toThrow(message);
  }
});

test("the head of a response is read before its body", () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
  for (let length = 0; length < head.length; length++) {
    expect(readResponseHead(Buffer.from(head.slice(0, length)))).toBeUndefined();
  }
  const expected = { status: 200, bodyBytes: undefined, isChunked: true, headBytes: head.length };
  expect(readResponseHead(Buffer.from(`${head}5\r\n`))).toEqual(expected);
  const plain = "HTTP/1.1 400 No\r\nContent-Length: 7\r\n\r\n";
  expect(readResponseHead(Buffer.from(plain))).toEqual({
    status: 400,
    bodyBytes: 7,
    isChunked: false,
    headBytes: plain.length,
  });
  expect(() => readResponseHead(Buffer.alloc(16 * 1024 + 1))).toThrow("header fields");
});
