import { describe, expect, test } from "bun:test";
import { decode, encode } from "cborg";
import { encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import { INVALID_TEXT } from "../../../../src/protocols/vfs/cbor-values.ts";
import { decodeFlatMap } from "../../../../src/protocols/vfs/flat-map.ts";

const ALL = 1000;
const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** What the decoder of all of CBOR makes of it. */
function reference(bytes: Uint8Array): unknown {
  return decode(bytes, {
    ...{ useMaps: true, rejectDuplicateMapKeys: true, allowIndefinite: false, allowBigInt: true },
  });
}

/** Integers at the borders of the forms that their heads have. */
const BORDERS = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];

describe("a flat map", () => {
  test.each(BORDERS)("has %p, and the negative integer beside it", (value) => {
    const fields = { n: value, m: value === 2 ** 53 - 1 ? -value : -1 - value };
    expect(decodeFlatMap(encode(fields), ALL)).toEqual(new Map(Object.entries(fields)));
    expect(reference(encodeMap(fields))).toEqual(new Map(Object.entries(fields)));
  });

  test.each([0, 1, 23, 24, 255, 256, 65_535, 65_536])(
    "has byte strings and texts of %p",
    (size) => {
      const fields = { bytes: new Uint8Array(size).fill(7), text: "x".repeat(size) };
      expect(decodeFlatMap(encode(fields), ALL)).toEqual(new Map(Object.entries(fields)));
      expect(reference(encodeMap(fields))).toEqual(
        new Map<string, unknown>(Object.entries(fields)),
      );
    },
  );

  test("has keys of every length, also ones that begin alike", () => {
    const keys = ["", "a", "aa", "aaa", "aaaa", "aaaaa", "b", "ba", "new_path", "x".repeat(23)];
    const fields = Object.fromEntries(keys.map((key, index) => [key, index]));
    expect(decodeFlatMap(encode(fields), ALL)).toEqual(new Map(Object.entries(fields)));
    // A second time they are known.
    expect(decodeFlatMap(encode(fields), ALL)).toEqual(new Map(Object.entries(fields)));
    expect(decodeFlatMap(encodeMap(fields), ALL)).toEqual(new Map(Object.entries(fields)));
  });

  test("has text of other alphabets, and what is not text apart", () => {
    expect(decodeFlatMap(encode({ p: "Grüße 日本" }), ALL)?.get("p")).toBe("Grüße 日本");
    expect(decodeFlatMap(hex("a1 61 70 62 c328"), ALL)?.get("p")).toBe(INVALID_TEXT);
  });

  test("has no more items than allowed", () => {
    expect(decodeFlatMap(encode({ a: 1, b: 2 }), 5)?.size).toBe(2);
    expect(decodeFlatMap(encode({ a: 1, b: 2 }), 4)).toBeUndefined();
  });

  test.each([
    ["empty bytes", ""],
    ["a list", "80"],
    ["24 fields", `b8 18 ${"61 61 01".repeat(24)}`],
    ["a key twice", "a2 61 61 01 61 61 02"],
    ["a number as key", "a1 01 01"],
    ["a key of 24 bytes", `a1 78 18 ${"61".repeat(24)} 01`],
    ["a key that is not ASCII", "a1 62 c3a9 01"],
    ["a list as value", "a1 61 61 80"],
    ["a map as value", "a1 61 61 a0"],
    ["true", "a1 61 61 f5"],
    ["an integer above 2^53", "a1 61 61 1b 0020000000000000"],
    ["an indefinite string", "a1 61 61 5f ff"],
    ["a reserved length", "a1 61 61 1c"],
    ["bytes after it", "a1 61 61 01 00"],
  ])("is not %s", (_, bytes) => {
    expect(decodeFlatMap(hex(bytes), ALL)).toBeUndefined();
  });

  test("is what the decoder of all of CBOR reads, whatever byte is changed or missing", () => {
    const whole = encode({
      op: 4,
      id: 70_000,
      data: new Uint8Array(5),
      path: "ab",
      off: -3,
      b: 2 ** 40,
    });
    let read = 0;
    const check = (bytes: Uint8Array) => {
      const flat = decodeFlatMap(bytes, ALL);
      if (flat === undefined) return;
      read++;
      // Text that is not UTF-8 and integers at the border of 2^53 are the other one's exceptions.
      if ([...flat.values()].includes(INVALID_TEXT)) return;
      expect(new Map<string, unknown>(flat)).toEqual(reference(bytes) as Map<string, unknown>);
    };
    for (let at = 0; at < whole.length; at++) {
      check(whole.subarray(0, at));
      for (let byte = 0; byte < 256; byte++) {
        const changed = whole.slice();
        changed[at] = byte;
        check(changed);
      }
    }
    expect(read).toBeGreaterThan(1000);
  });
});

describe("an encoded map", () => {
  test("has flags, large integers, lists and maps", () => {
    const fields = {
      yes: true,
      no: false,
      big: 2n ** 64n - 1n,
      list: [1, "a"],
      map: { a: 1, gone: undefined },
    };
    expect(reference(encodeMap(fields))).toEqual(
      new Map<string, unknown>([
        ["yes", true],
        ["no", false],
        ["big", 2n ** 64n - 1n],
        ["list", [1, "a"]],
        ["map", new Map([["a", 1]])],
      ]),
    );
  });

  test("has up to 23 fields", () => {
    const fields = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]));
    expect(decodeFlatMap(encodeMap(fields(23)), ALL)?.size).toBe(23);
    expect(() => encodeMap(fields(24))).toThrow(RangeError);
  });

  test("leaves space before and after", () => {
    const bytes = encodeMap({ a: 1 }, { before: 3, after: 2 });
    expect(Buffer.from(bytes).toString("hex")).toBe("000000a16161010000");
  });
});
