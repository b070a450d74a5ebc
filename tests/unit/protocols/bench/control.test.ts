import { describe, expect, test } from "bun:test";
import {
  ControlDecoder,
  type ControlMessage,
  encodeControl,
} from "../../../../src/protocols/bench/control.ts";
import { MAX_STREAMS } from "../../../../src/protocols/bench/request.ts";

const result = (count: number): ControlMessage => ({
  type: "result",
  result: {
    elapsedUs: 2_000_001,
    cpuUserUs: 3,
    cpuSystemUs: 2 ** 40,
    streams: Array.from({ length: count }, (_, index) => ({
      receivedBytes: index,
      sentBytes: 2 ** 50 + index,
    })),
  },
});

const MESSAGES: readonly ControlMessage[] = [
  { type: "start" },
  { type: "stop" },
  result(0),
  result(1),
  result(MAX_STREAMS),
];

const decode = (...chunks: Uint8Array[]) => {
  const decoder = new ControlDecoder();
  const messages: ControlMessage[] = [];
  for (const chunk of chunks) messages.push(...decoder.push(chunk));
  return messages;
};

describe("a message of the control connection", () => {
  test.each(MESSAGES.entries().toArray())("is read as it was written: number %d", (_, message) => {
    expect(decode(encodeControl(message))).toEqual([message]);
  });

  test("has a header of type and length", () => {
    expect(encodeControl({ type: "start" }).toHex()).toBe("01000000");
    expect(encodeControl({ type: "stop" }).toHex()).toBe("02000000");
    expect(encodeControl(result(2)).toHex()).toStartWith("0300003a00000000001e8481");
  });

  test("may come in pieces of any size, and several in one", () => {
    const bytes = new Uint8Array(Buffer.concat(MESSAGES.map(encodeControl)));
    expect(decode(bytes)).toEqual([...MESSAGES]);
    for (const size of [1, 3, 7, 50]) {
      const count = Math.ceil(bytes.length / size);
      const chunks = Array.from({ length: count }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      expect(decode(...chunks)).toEqual([...MESSAGES]);
    }
  });

  test("is not returned before its last byte", () => {
    for (const message of MESSAGES) {
      const bytes = encodeControl(message);
      for (let length = 0; length < bytes.length; length++) {
        expect(decode(bytes.subarray(0, length))).toEqual([]);
      }
    }
  });

  test.each([
    ["an unknown type", [4, 0, 0, 0], "of the type 4"],
    ["the type 0", [0, 0, 0, 0], "of the type 0"],
    ["a length above the limit", [3, 0, 0xff, 0xff], "65535 bytes"],
    ["a start with a payload", [1, 0, 0, 1, 7], "1 bytes for start"],
    ["a result that is too short", [3, 0, 0, 2, 0, 0], "a result of 2 bytes"],
    ["a result that is short by a stream", [3, 0, 0, 10, ...new Uint8Array(10)], "of 10 bytes"],
    [
      "a result with fewer streams than it names",
      [3, 0, 0, 26, ...new Uint8Array(24), 0, 1],
      "a result of 26 bytes",
    ],
    [
      "a number that is not exact",
      [3, 0, 0, 26, 0, 32, ...new Uint8Array(24)],
      "a number of 9007199254740992",
    ],
  ])("is refused: %s", (_what, bytes, message) => {
    expect(() => decode(Uint8Array.from(bytes))).toThrow(message);
  });
});
