import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../../src/errors.ts";
import {
  ConnectLineReader,
  encodeOk,
  FIRST_ASSIGNED_PORT,
  nextAssignedPort,
} from "../../../../src/protocols/hybrid/connect-line.ts";
import { encodeConnect, HandshakeReader } from "../../../../src/protocols/hybrid/handshake.ts";

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const read = (chunk: Uint8Array) => new ConnectLineReader().push(chunk);

describe("the CONNECT line", () => {
  test.each([
    ["CONNECT 5000\n", 5000],
    ["connect 5000\n", 5000],
    ["CoNnEcT 5000\r\n", 5000],
    ["CONNECT\t5000\n", 5000],
    ["  CONNECT \v\f 5000  \n", 5000],
    ["CONNECT 0\n", 0],
    ["CONNECT 0005\n", 5],
    ["CONNECT 4294967295\n", 0xffff_ffff],
    [`CONNECT ${" ".repeat(22)}7\n`, 7],
    ["CONNECT 52 foo\n", 52],
    ["CONNECT 52 foo bar 7\n", 52],
    ["CONNECT +52\n", 52],
    ["CONNECT +0052\n", 52],
    ["CONNECT \u00A01\n", 1],
    ["CONNECT\u20003\u0085\u3000\n", 3],
  ])("%j is port %d", (line, port) => {
    expect(read(bytes(line))).toEqual({ port, rest: new Uint8Array() });
  });

  test.each([
    "\n",
    "CONNECT\n",
    "CONNECT \n",
    "CONNECT5000\n",
    "CONNECT x\n",
    "CONNECT -1\n",
    "CONNECT ++1\n",
    "CONNECT + 1\n",
    "CONNECT +\n",
    "CONNECT foo 52\n",
    "CONNECT 52foo\n",
    "CONNECT \uFEFF52\n",
    "foo CONNECT 52\n",
    "CONNECT 1.5\n",
    "CONNECT 0x10\n",
    "CONNECT 4294967296\n",
    "CONNECT 99999999999999999999\n",
    "CONNECT 1\0\n",
    "CONNECT ١\n",
    "GET / HTTP/1.1\r\n",
    "OK 5\n",
    `CONNECT ${" ".repeat(23)}7\n`,
    "x".repeat(32),
  ])("%j is refused", (line) => {
    expect(() => read(bytes(line))).toThrow('expected "CONNECT <port>"');
  });

  test("of a hundred thousand bytes is refused", () => {
    expect(() => read(bytes("x".repeat(100_000)))).toThrow("at most 32 bytes");
  });

  test("that is not UTF-8 is refused", () => {
    expect(() => read(new Uint8Array([...bytes("CONNECT 1"), 0xff, 0x0a]))).toThrow("not UTF-8");
  });

  test("may be cut anywhere, and the bytes after it are kept", () => {
    const stream = bytes("CONNECT 5000\nSSH-2.0\nCONNECT 1\n");
    const end = "CONNECT 5000\n".length;
    for (let cut = 0; cut <= stream.length; cut++) {
      const reader = new ConnectLineReader();
      const first = reader.push(stream.subarray(0, cut));
      expect(first === undefined).toBe(cut < end);
      const line = first ?? reader.push(stream.subarray(cut));
      expect(line?.port).toBe(5000);
      expect(line?.rest).toEqual(
        first === undefined ? stream.subarray(end) : stream.subarray(end, cut),
      );
    }
    const reader = new ConnectLineReader();
    const lines = [...stream.subarray(0, end)].map((byte) => reader.push(new Uint8Array([byte])));
    expect(lines.filter((line) => line !== undefined)).toEqual([
      { port: 5000, rest: new Uint8Array() },
    ]);
  });

  test("of random bytes yields a port, needs more or is refused, and never keeps much", () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom("CONNECT ", "connect", " ", "\n", "7", "99", "\r").map(bytes),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 40 }), (chunks) => {
        const reader = new ConnectLineReader();
        let taken = 0;
        try {
          for (const part of chunks) {
            const line = reader.push(part);
            taken += part.length;
            if (line === undefined) {
              expect(taken).toBeLessThan(32);
              continue;
            }
            expect(line.port >= 0 && line.port <= 0xffff_ffff).toBe(true);
            expect(
              Buffer.from(part.subarray(part.length - line.rest.length)).equals(line.rest),
            ).toBe(true);
            return;
          }
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(VsockboxError);
        }
      }),
    );
  });

  test("of our own client is read", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (port) => {
        expect(read(encodeConnect(port))?.port).toBe(port);
        expect(new HandshakeReader().push(encodeOk(port))?.assignedPort).toBe(port);
      }),
    );
  });
});

test("assigned ports count up from 2^30 and go round below the highest", () => {
  expect([FIRST_ASSIGNED_PORT, nextAssignedPort(FIRST_ASSIGNED_PORT)]).toEqual([
    1_073_741_824, 1_073_741_825,
  ]);
  expect(nextAssignedPort(0xffff_fffd)).toBe(0xffff_fffe);
  expect(nextAssignedPort(0xffff_fffe)).toBe(FIRST_ASSIGNED_PORT);
});
