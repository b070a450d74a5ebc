import { describe, expect, test } from "bun:test";
import { INVALID_TEXT } from "../../../../src/protocols/vfs/cbor-values.ts";
import {
  bytes,
  checkPath,
  cText,
  booleanAt,
  integerIn,
  pathField,
  RefusedField,
  text,
  texts,
  time,
  u64,
  UTIME_NOW,
} from "../../../../src/protocols/vfs/fields.ts";

const errnoOf = (run: () => unknown): number => {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof RefusedField) return thrown.number;
    throw thrown;
  }
  return 0;
};

const check = (path: string) => errnoOf(() => checkPath(Buffer.from(path, "latin1")));

describe("a path below the root", () => {
  test.each([
    "",
    "a",
    "a/b",
    "...",
    "..a",
    "a..",
    ".hidden",
    "a/.b",
    "\xff\xfe/\n",
    "x".repeat(255),
  ])("can be %p", (path) => {
    expect(check(path)).toBe(0);
    expect(checkPath(Buffer.from(path, "latin1"))).toEqual(Buffer.from(path, "latin1"));
  });

  test.each([
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "a/../b",
    "a\0b",
    "a/\0",
  ])("cannot be %p", (path) => {
    expect(check(path)).toBe(22);
  });

  test("is of 64 KiB at most, of names up to NAME_MAX", () => {
    const long = `${Array.from({ length: 32_768 }, () => "a").join("/")}a`;
    expect([long.length, check(long)]).toEqual([65_536, 0]);
    const { read } = pathField("path");
    expect(errnoOf(() => read(Buffer.from(long)))).toBe(0);
    for (const tooLong of [`${long}a`, `${long}/${long}`]) {
      expect(check(tooLong)).toBe(36);
      expect(errnoOf(() => read(Buffer.from(tooLong)))).toBe(36);
    }
    expect(check("x".repeat(256))).toBe(36);
    expect(check(`a/${"x".repeat(256)}`)).toBe(36);
  });
});

describe("a field", () => {
  test("of an integer is one within its bounds", () => {
    const { read } = integerIn("n", 10, -2);
    expect([read(-2), read(10)]).toEqual([-2, 10]);
    for (const value of [-3, 11, 1.5, 2n, "1", undefined, null, true, Number.NaN]) {
      expect(errnoOf(() => read(value))).toBe(22);
    }
  });

  test("of 64 bits is a bigint", () => {
    const { read } = u64("n");
    expect([read(0), read(7), read(2n ** 64n - 1n)]).toEqual([0n, 7n, 2n ** 64n - 1n]);
    for (const value of [-1, 2n ** 64n, 0.5, "1", undefined]) {
      expect(errnoOf(() => read(value))).toBe(22);
    }
  });

  test("of bytes has a size", () => {
    const { read } = bytes("b", 2);
    expect(read(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
    for (const value of [Uint8Array.of(1, 2, 3), "ab", undefined]) {
      expect(errnoOf(() => read(value))).toBe(22);
    }
  });

  test("of text has a length, and is UTF-8", () => {
    const { read } = text("t", 3);
    expect([read(""), read("abc")]).toEqual(["", "abc"]);
    expect(errnoOf(() => read("abcd"))).toBe(36);
    expect(errnoOf(() => read(INVALID_TEXT))).toBe(84);
    expect(errnoOf(() => read(Uint8Array.of(1)))).toBe(22);
  });

  test("of a list has short texts", () => {
    const { read } = texts("l", 2, 3);
    expect(read(["a", "abc"])).toEqual(["a", "abc"]);
    expect(errnoOf(() => read(["a", "b", "c"]))).toBe(22);
    expect(errnoOf(() => read(["abcd"]))).toBe(36);
    expect(errnoOf(() => read("a"))).toBe(22);
  });

  test("of a C string has no NUL and is not empty", () => {
    const { read } = cText("c", 3);
    expect(read(Buffer.from("../"))).toEqual(Buffer.from("../"));
    for (const value of ["", "a\0b", "abcd"]) {
      expect(errnoOf(() => read(Buffer.from(value)))).toBe(22);
    }
  });

  test("of a flag is true or false", () => {
    const { read } = booleanAt("f");
    expect([read(true), read(false)]).toEqual([true, false]);
    expect(errnoOf(() => read(1))).toBe(22);
  });

  test("of a time is a pair", () => {
    const { read, write } = time("t");
    const last = { seconds: -5, nanoseconds: 999_999_999 };
    expect(read([-5, 999_999_999])).toEqual(last);
    expect(write(last)).toEqual([-5, 999_999_999]);
    expect(read([0, UTIME_NOW])).toEqual({ seconds: 0, nanoseconds: UTIME_NOW });
    for (const value of [
      [1],
      [1, 2, 3],
      [1, 1_000_000_000],
      [1, UTIME_NOW - 1],
      [1, -1],
      1,
      [1.5, 0],
    ]) {
      expect(errnoOf(() => read(value))).toBe(22);
    }
  });
});
