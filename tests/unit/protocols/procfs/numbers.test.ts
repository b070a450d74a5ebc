import { describe, expect, test } from "bun:test";
import {
  decimalOf,
  fieldsOf,
  parseNamedNumbers,
  unsignedFields,
  unsignedOf,
} from "../../../../src/protocols/procfs/numbers.ts";

test.each([
  ["0", 0],
  ["18446744073709551615", 2 ** 64],
  ["184467440737095516150", undefined],
  ["", undefined],
  ["-1", undefined],
  ["1.5", undefined],
  ["1e3", undefined],
  ["0x10", undefined],
  ["1\n", undefined],
  [undefined, undefined],
])("unsignedOf(%p) is %p", (text, expected) => {
  expect(unsignedOf(text)).toBe(expected);
});

test.each([
  ["0.25", 0.25],
  ["26291", 26_291],
  ["1.", undefined],
  [".5", undefined],
  ["1.5x", undefined],
  ["-0.5", undefined],
  ["9".repeat(41), undefined],
  [undefined, undefined],
])("decimalOf(%p) is %p", (text, expected) => {
  expect(decimalOf(text)).toBe(expected);
});

test("fields are separated by any blanks", () => {
  expect(fieldsOf("  a\tb   c ")).toEqual(["a", "b", "c"]);
});

test("unsignedFields needs all of them, and ignores what kernels append", () => {
  expect(unsignedFields(["x", "1", "2", "3"], 1, 2)).toEqual([1, 2]);
  expect(unsignedFields(["x", "1"], 1, 2)).toBeUndefined();
  expect(unsignedFields(["x", "1", "-"], 1, 2)).toBeUndefined();
});

describe("named numbers", () => {
  test("are bytes with kB, else counts", () => {
    const text = "MemTotal:       24684092 kB\nHugePages_Total:       3\noom_kill 7\n";
    expect([...parseNamedNumbers(text)]).toEqual([
      ["MemTotal", 24_684_092 * 1024],
      ["HugePages_Total", 3],
      ["oom_kill", 7],
    ]);
  });

  test("keep the first of a name, and ignore lines of another form", () => {
    const text = "\nA: 1 kB\nA: 2 kB\nB: x kB\nC: 5 MB\n: 4 kB\nD\n__proto__ 8";
    expect([...parseNamedNumbers(text)]).toEqual([
      ["A", 1024],
      ["__proto__", 8],
    ]);
  });
});
