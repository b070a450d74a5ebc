import { expect, test } from "bun:test";
import { ChunkedBodyReader } from "../../../../src/protocols/http/chunked-body.ts";

/** The body of these bytes in pieces of `size`, and whether it is complete. */
function read(text: string, size = text.length): [string, boolean] {
  const bytes = Buffer.from(text, "latin1");
  const reader = new ChunkedBodyReader();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    parts.push(...reader.push(bytes.subarray(at, at + size)));
  }
  return [Buffer.concat(parts).toString("latin1"), reader.isOver];
}

test.each([
  ["0\r\n\r\n", ["", true]],
  ["5\r\nhello\r\n0\r\n\r\n", ["hello", true]],
  [
    "5;name=value\r\nhello\r\nA \r\n, 10 bytes\r\n00\r\nField: x\r\nOther: y\r\n\r\n",
    ["hello, 10 bytes", true],
  ],
  ["2\r\n\r\n\r\n0\r\n\r\nignored", ["\r\n", true]],
  ["5\r\nhel", ["hel", false]],
  ["5\r\nhello\r\n0\r\n", ["hello", false]],
  ["5", ["", false]],
])("%j is read, however it is cut", (text, expected) => {
  for (const size of [1, 2, 3, 7, text.length]) {
    expect(read(text, size)).toEqual(expected as [string, boolean]);
  }
});

test.each([
  ["five\r\nhello", "not a number"],
  ["-1\r\n", "not a number"],
  ["1234567890123\r\n", "not a number"],
  ["\r\n", "not a number"],
  ["5\nhello", "CR LF"],
  ["3\r\nhello\r\n", "longer than its size"],
  [`5;${"x".repeat(300)}`, "too long"],
])("%j is refused", (text, message) => {
  expect(() => read(text)).toThrow(message);
  expect(() => read(text, 1)).toThrow(message);
});
