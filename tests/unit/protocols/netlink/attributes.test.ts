import { describe, expect, test } from "bun:test";
import {
  decodeAttributes,
  encodeAttributes,
  textAttribute,
} from "../../../../src/protocols/netlink/attributes.ts";

describe("netlink attributes", () => {
  test("have the kernel's layout, padded and nested", () => {
    const bytes = encodeAttributes([
      { type: 3, value: "lo" },
      { type: 18, value: [{ type: 1, value: Uint8Array.of(5) }] },
      { type: 4, value: Uint8Array.of(0, 5, 0, 0) },
    ]);
    expect([...bytes]).toEqual([
      ...[7, 0, 3, 0, 0x6c, 0x6f, 0, 0],
      ...[12, 0, 18, 0x80, 5, 0, 1, 0, 5, 0, 0, 0],
      ...[8, 0, 4, 0, 0, 5, 0, 0],
    ]);
  });

  test("come back by type, without the flags of the type", () => {
    const bytes = encodeAttributes([
      { type: 3 | 0x4000, value: "vsockmon0" },
      { type: 18, value: [{ type: 1, value: "vsockmon" }] },
      { type: 9, value: new Uint8Array(0) },
    ]);
    const attributes = decodeAttributes(bytes);
    expect([...attributes.keys()]).toEqual([3, 18, 9]);
    expect(textAttribute(attributes, 3)).toBe("vsockmon0");
    expect(textAttribute(decodeAttributes(attributes.get(18) ?? bytes), 1)).toBe("vsockmon");
    expect(textAttribute(attributes, 9)).toBe("");
    expect(textAttribute(attributes, 4)).toBeUndefined();
  });

  test("of one type: the last counts, with or without a NUL", () => {
    const raw = (text: string) => ({ type: 1, value: new TextEncoder().encode(text) });
    const attributes = decodeAttributes(encodeAttributes([raw("a"), raw("bc\0d")]));
    expect(textAttribute(attributes, 1)).toBe("bc");
    expect(textAttribute(decodeAttributes(encodeAttributes([raw("xyz")])), 1)).toBe("xyz");
  });

  test("are refused at every truncation but the rest of a header", () => {
    const bytes = encodeAttributes([{ type: 1, value: new Uint8Array(8) }]);
    for (let length = 0; length < 4; length++) {
      expect(decodeAttributes(bytes.subarray(0, length)).size).toBe(0);
    }
    for (let length = 4; length < bytes.length; length++) {
      expect(() => decodeAttributes(bytes.subarray(0, length))).toThrow(
        `its length is 12 of ${length} bytes`,
      );
    }
  });

  test.each([0, 3, 13, 0xffff])("are refused with the length %p", (length) => {
    const bytes = encodeAttributes([{ type: 1, value: new Uint8Array(8) }]);
    new DataView(bytes.buffer).setUint16(0, length, true);
    expect(() => decodeAttributes(bytes)).toThrow(`its length is ${length} of 12 bytes`);
  });

  test("hold 65,531 bytes and no more", () => {
    const largest = encodeAttributes([{ type: 1, value: new Uint8Array(65_531).fill(1) }]);
    expect(decodeAttributes(largest).get(1)?.length).toBe(65_531);
    const tooLong = [{ type: 1, value: new Uint8Array(65_532) }];
    expect(() => encodeAttributes(tooLong)).toThrow("65532 bytes is too long");
  });
});
