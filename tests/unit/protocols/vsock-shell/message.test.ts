import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  encodeMessage,
  encodeMessages,
  SHELL_HEADER_BYTES,
  type Message,
  ShellMessageReader,
  Type,
} from "../../../../src/protocols/vsock-shell/message.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** Hex digits, with blanks for the reader. */
const fromHex = (digits: string) => Buffer.from(digits.replaceAll(" ", ""), "hex");

function readAll(chunks: readonly Uint8Array[], limit?: number): Message[] {
  const reader = new ShellMessageReader(limit);
  const messages: Message[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) messages.push(next);
  }
  return messages;
}

function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let rest = bytes;
  for (const length of lengths) {
    chunks.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return [...chunks, rest];
}

describe("a message", () => {
  test("is magic, type and length, little-endian, then its data", () => {
    expect(encodeMessage(Type.OpenCommand, Buffer.from("ls\0"))).toEqual(
      new Uint8Array(fromHex("bebafeca 09000000 03000000 6c7300")),
    );
    expect(encodeMessage(Type.OpenBash)).toEqual(
      new Uint8Array(fromHex("bebafeca 08000000 00000000")),
    );
  });

  test("comes out as it went in, however the stream is cut", () => {
    const message = fc.record({
      type: fc.constantFrom(...Object.values(Type)),
      data: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.nat(40), { maxLength: 30 }),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map(({ type, data }) => encodeMessage(type, data)));
          const seen = readAll(cut(bytes, cuts)).map(({ type, data }) => [type, hex(data)]);
          expect(seen).toEqual(messages.map(({ type, data }) => [type, hex(data)]));
        },
      ),
    );
  });

  test("is not changed by bytes that are added while it is held", () => {
    const reader = new ShellMessageReader();
    const bytes = Buffer.concat([
      encodeMessage(Type.FileData, Buffer.from("first")),
      encodeMessage(Type.FileData, Buffer.from("second")),
    ]);
    for (const [at] of bytes.entries()) reader.feed(bytes.subarray(at, at + 1));
    const first = reader.next();
    reader.feed(encodeMessage(Type.FileData, Buffer.from("third")));
    expect(Buffer.from(first?.data ?? []).toString()).toBe("first");
    expect(Buffer.from(reader.next()?.data ?? []).toString()).toBe("second");
    expect(Buffer.from(reader.next()?.data ?? []).toString()).toBe("third");
    expect(reader.next()).toBeUndefined();
  });

  test("many of them carry bytes of any length", () => {
    const bytes = new Uint8Array(10_000).map((_, index) => index);
    const messages = readAll([encodeMessages(Type.FileData, bytes, 4096)]);
    expect(messages.map(({ data }) => data.length)).toEqual([4096, 4096, 1808]);
    expect(Buffer.concat(messages.map(({ data }) => data)).equals(bytes)).toBe(true);
    expect(encodeMessages(Type.FileData, new Uint8Array(0), 4096)).toHaveLength(0);
  });
});

describe("refusals", () => {
  test.each([
    ["a wrong magic", "00000000 07000000 00000000", /does not begin with 0xcafebabe/],
    ["one in the other byte order", "cafebabe 00000007 00000000", /does not begin/],
    ["HTTP, at its first byte", "47", /does not begin/],
    ["a type below the first", "bebafeca 06000000 00000000", /unknown message type 0x06/],
    ["a type above the last", "bebafeca 15000000 00000000", /unknown message type 0x15/],
    ["4,097 bytes", "bebafeca 11000000 01100000", /4097 bytes, more than 4096/],
    ["4 GiB", "bebafeca 11000000 ffffffff", /more than 4096/],
  ])("%s", (_, bytes, message) => {
    const reader = new ShellMessageReader();
    reader.feed(fromHex(bytes));
    expect(() => reader.next()).toThrow(message);
  });

  test("a beginning that fits so far is waited for", () => {
    for (const begin of ["be", "beba", "bebafeca", "bebafeca07000000ffff00"]) {
      const reader = new ShellMessageReader();
      reader.feed(fromHex(begin));
      expect(reader.next()).toBeUndefined();
      expect(reader.isInside).toBe(true);
    }
  });

  test("the limit can be raised between two messages", () => {
    const large = encodeMessage(Type.PtyData, new Uint8Array(5000));
    const reader = new ShellMessageReader();
    reader.feed(Buffer.concat([encodeMessage(Type.OpenBash), large]));
    reader.next();
    reader.limit = 65_536;
    expect(reader.next()?.data).toHaveLength(5000);
  });

  test("the bytes of a following protocol are returned", () => {
    const reader = new ShellMessageReader();
    reader.feed(Buffer.concat([encodeMessage(Type.ReadySend), Buffer.from("other words")]));
    reader.next();
    expect(Buffer.from(reader.takeRest()).toString()).toBe("other words");
    expect(reader.isInside).toBe(false);
    expect(SHELL_HEADER_BYTES).toBe(12);
  });
});
