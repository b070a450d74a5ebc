import { describe, expect, test } from "bun:test";
import { decodeMap, encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import { INVALID_TEXT } from "../../../../src/protocols/vfs/cbor-values.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

describe("a map", () => {
  test("has the encoding of RFC 8949", () => {
    const bytes = encodeMap({
      op: 3,
      data: Uint8Array.of(1, 2),
      gone: undefined,
      n: -2,
      big: 2n ** 63n,
    });
    expect(decodeMap(bytes)).toEqual(
      new Map<string, unknown>([
        ["n", -2],
        ["op", 3],
        ["big", 2n ** 63n],
        ["data", Uint8Array.of(1, 2)],
      ]) as ReturnType<typeof decodeMap>,
    );
    expect(Buffer.from(encodeMap({ op: 3 })).toString("hex")).toBe("a1626f7003");
  });

  test.each([
    ["a byte string of each length form", "a1 61 64 43 010203", "a1 61 64 58 03 010203"],
    ["two more", "a1 61 64 59 0003 010203", "a1 61 64 5a 00000003 010203"],
    ["eight bytes of length", "a1 61 64 5b 0000000000000003 010203", "a1 61 64 43 010203"],
  ])("reads %s", (_, one, other) => {
    for (const form of [one, other])
      expect(decodeMap(hex(form)).get("d")).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("has views of the frame, not copies", () => {
    const frame = hex("a1 61 64 43 010203");
    const found = decodeMap(frame).get("d");
    frame[4] = 9;
    expect(found).toEqual(Uint8Array.of(9, 2, 3));
  });

  test("keeps text that is not UTF-8 apart, short and long", () => {
    expect(decodeMap(hex("a1 61 70 62 c328")).get("p")).toBe(INVALID_TEXT);
    const long = Buffer.concat([hex("a1 61 70 78 20"), Buffer.alloc(32, 0xff)]);
    expect(decodeMap(long).get("p")).toBe(INVALID_TEXT);
    expect(decodeMap(encodeMap({ p: "Grüße, 16 bytes+", q: "ascii" })).get("p")).toBe(
      "Grüße, 16 bytes+",
    );
  });

  test.each([
    ["an empty payload", ""],
    ["a number", "01"],
    ["a list", "80"],
    ["an indefinite map", "bf ff"],
    ["an indefinite byte string", "a1 61 64 5f 41 00 ff"],
    ["an indefinite text", "a1 7f 61 64 ff 01"],
    ["an indefinite list", "a1 61 64 9f ff"],
    ["a reserved length of a string", "a1 61 64 5c 00"],
    ["bytes after the map", "a0 00"],
    ["a map that is too short", "a2 61 64 01"],
    ["a key without a value", "a1 61 64"],
    ["a string that is too short", "a1 61 64 43 0102"],
    ["a length of 4 GiB", "a1 61 64 5a ffffffff 00"],
    ["a length of 2^64 - 1", "a1 61 64 5b ffffffffffffffff 00"],
    ["a length that ends early", "a1 61 64 59 00"],
    ["a list of 2^32 - 1", "a1 61 64 9a ffffffff 00"],
    ["a map of 2^32 - 1", "ba ffffffff 00"],
    ["a list of 2^64 - 1", "a1 61 64 9b ffffffffffffffff 00"],
    ["a key twice", "a2 61 64 01 61 64 02"],
    ["a tag", "a1 61 64 c0 01"],
    ["NaN", "a1 61 64 f9 7e00"],
    ["five levels", "a1 61 64 81 81 81 81 01"],
  ])("is not %s", (_, bytes) => {
    expect(() => decodeMap(hex(bytes))).toThrow(expect.objectContaining({ code: "BAD_DATA" }));
  });

  test("has up to four levels, closed ones not counted", () => {
    expect(decodeMap(hex("a2 61 64 81 81 81 01 61 65 81 81 80")).get("d")).toEqual([[[1]]]);
  });

  test("has no more items than allowed", () => {
    const three = encodeMap({ a: 1 });
    expect(decodeMap(three, 3).get("a")).toBe(1);
    expect(() => decodeMap(three, 2)).toThrow("more than 2 items");
    expect(() => decodeMap(encodeMap({ list: Array.from({ length: 300 }, () => 0) }))).toThrow(
      "items",
    );
  });

  test("cut at every byte is refused", () => {
    const whole = encodeMap({ op: 4, fh: 300, data: new Uint8Array(40), path: "/a", list: [1, 2] });
    for (let end = 0; end < whole.length; end++) {
      expect(() => decodeMap(whole.subarray(0, end))).toThrow(
        expect.objectContaining({ code: "BAD_DATA" }),
      );
    }
  });
});
