import { expect, test } from "bun:test";
import {
  encodeHttpResponse,
  type OutgoingResponse,
} from "../../../../src/protocols/http/encode-response.ts";
import { HttpResponseReader } from "../../../../src/protocols/http/response.ts";

const date = new Date(0);
const text = (response: OutgoingResponse, options = {}) =>
  Buffer.from(
    encodeHttpResponse(response, { keepsOpen: true, isHead: false, date, ...options }),
  ).toString();

test("a response has its size in bytes, and whether the connection stays open", () => {
  const response = { status: 200, type: "text/plain", body: "sch\u00f6n\n" } as const;
  const head = [
    "HTTP/1.1 200 OK",
    "Date: Thu, 01 Jan 1970 00:00:00 GMT",
    "Content-Type: text/plain",
    "Content-Length: 7",
  ];
  expect(text(response)).toBe([...head, "Connection: keep-alive", "", "sch\u00f6n\n"].join("\r\n"));
  expect(text(response, { keepsOpen: false, isHead: true })).toBe(
    [...head, "Connection: close", "", ""].join("\r\n"),
  );
});

test("a method that is not allowed is answered with those that are", () => {
  const response = { status: 405, type: "text/plain", body: "no", allow: "GET, HEAD" } as const;
  expect(text(response)).toContain("HTTP/1.1 405 Method Not Allowed\r\n");
  expect(text(response)).toContain("\r\nAllow: GET, HEAD\r\n");
});

test.each([200, 400, 404, 405, 500] as const)(
  "a response with status %p is one for a reader",
  (status) => {
    const bytes = encodeHttpResponse(
      { status, type: "a/b", body: "x" },
      { keepsOpen: false, isHead: false, date },
    );
    const response = new HttpResponseReader(10).push(bytes);
    expect([response?.status, Buffer.from(response?.body ?? []).toString()]).toEqual([status, "x"]);
  },
);
