import { describe, expect, test } from "bun:test";
import { MAX_REQUEST_HEAD_BYTES, readRequestHead } from "../../../../src/protocols/http/request.ts";

const HOST = "Host: x\r\n";
const read = (text: string) => readRequestHead(Buffer.from(text, "latin1"));
const simple = { method: "GET", path: "/metrics", keepsOpen: true, hasBody: false };

describe("the head of a request", () => {
  test.each([
    [`GET /metrics HTTP/1.1\r\n${HOST}\r\n`, simple],
    [`\r\nGET /metrics HTTP/1.1\r\n${HOST}\r\n`, simple],
    [`GET /metrics?a=/b#c HTTP/1.1\r\n${HOST}\r\n`, simple],
    [`GET http://a:1/metrics?x HTTP/1.1\r\n${HOST}\r\n`, simple],
    [`GET HTTPS://a HTTP/1.1\r\n${HOST}\r\n`, { ...simple, path: "/" }],
    [`GET //a/metrics HTTP/1.1\r\n${HOST}\r\n`, { ...simple, path: "//a/metrics" }],
    [`OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, { ...simple, method: "OPTIONS", path: "*" }],
    ["GET /metrics HTTP/1.0\r\n\r\n", { ...simple, keepsOpen: false }],
    ["GET /metrics HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", simple],
    [
      `GET /metrics HTTP/1.1\r\n${HOST}Connection: a, CLOSE\r\n\r\n`,
      { ...simple, keepsOpen: false },
    ],
    [`GET /metrics HTTP/1.1\r\nHOST:\tx \r\nContent-Length: 0\r\n\r\n`, simple],
    [`GET /metrics HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\n`, { ...simple, hasBody: true }],
    [
      `GET /metrics HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`,
      { ...simple, hasBody: true },
    ],
    [`GET /metrics HTTP/1.1\r\n${HOST}X-Empty:\r\n\r\n`, simple],
  ])("%j", (text, expected) => {
    for (let length = 0; length < text.length; length++) {
      expect(read(text.slice(0, length))).toBeUndefined();
    }
    expect(read(`${text}rest`)).toEqual({ ...expected, headBytes: text.length });
  });

  test.each([
    "GET /metrics\r\n\r\n",
    `GET /metrics HTTP/2.0\r\n${HOST}\r\n`,
    `GET  /metrics HTTP/1.1\r\n${HOST}\r\n`,
    `G@T /metrics HTTP/1.1\r\n${HOST}\r\n`,
    `GET /m\u00e9trics HTTP/1.1\r\n${HOST}\r\n`,
    "GET /metrics HTTP/1.1\r\n\r\n",
    `GET /metrics HTTP/1.1\r\n${HOST}${HOST}\r\n`,
    `GET /metrics HTTP/1.0\r\n${HOST}${HOST}\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST} folded\r\n\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST}Name : x\r\n\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST}name\r\n\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST}X: a\nb\r\n\r\n`,
    `GET /metrics HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`,
    "\x16\x03\x01\r\n\r\n",
    "\r\n\r\n\r\n\r\n",
  ])("%j is an error", (text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: "BAD_DATA" }) as Error);
  });

  test("has a limit, complete or not", () => {
    expect(MAX_REQUEST_HEAD_BYTES).toBe(8192);
    const begin = `GET / HTTP/1.1\r\n${HOST}X: `;
    const head = (bytes: number) => begin + "x".repeat(bytes - begin.length);
    expect(read(`${head(8192)}\r\n\r\n`)?.headBytes).toBe(8196);
    expect(() => read(`${head(8193)}\r\n\r\n`)).toThrow("8192 bytes");
    expect(read(head(8192))).toBeUndefined();
    expect(() => read(head(8193))).toThrow("8192 bytes");
  });
});
