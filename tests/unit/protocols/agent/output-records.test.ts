import { describe, expect, test } from "bun:test";
import {
  decodeOutputTime,
  encodeOutputTime,
} from "../../../../src/protocols/agent/output-records.ts";

describe("the time of output", () => {
  test("goes there and back", () => {
    for (const timeMs of [0, 1_795_000_000_000, 8.64e15]) {
      expect(decodeOutputTime(encodeOutputTime(timeMs))).toBe(timeMs);
    }
  });

  test.each([
    [{}],
    [{ timeMs: "1" }],
    [{ timeMs: -1 }],
    [{ timeMs: 1.5 }],
    [{ timeMs: 8.64e15 + 2 }],
  ])("%j is refused", (record) => {
    expect(() => decodeOutputTime(record)).toThrow("output time");
  });
});
