import { describe, expect, test } from "bun:test";
import { encodeAttributes } from "../../../../src/protocols/netlink/attributes.ts";
import {
  decodeLink,
  encodeLinkIndex,
  encodeLinkName,
  encodeNewLink,
} from "../../../../src/protocols/netlink/link.ts";

/** A payload of the kernel's: the header, then attributes. */
function payload(index: number, flags: number, attributes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + attributes.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, 826, true);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  bytes.set(attributes, 16);
  return bytes;
}

describe("a link", () => {
  test("is made up at once, with its name and kind", () => {
    const text = (word: string) => [...Buffer.from(`${word}\0`)];
    expect([...encodeNewLink("vsb", "dummy")]).toEqual([
      ...[0, 0, 0, 0, 0, 0, 0, 0],
      // The flag IFF_UP, and the mask of flags that change.
      ...[1, 0, 0, 0, 1, 0, 0, 0],
      ...[8, 0, 3, 0, ...text("vsb")],
      ...[16, 0, 18, 0x80, 10, 0, 1, 0, ...text("dummy"), 0, 0],
    ]);
  });

  test("is named by its index or its name, and no flag changes", () => {
    expect([...encodeLinkIndex(0x102)]).toEqual([0, 0, 0, 0, 2, 1, ...Array<number>(10).fill(0)]);
    const named = encodeLinkName("lo");
    expect(named).toHaveLength(16 + 8);
    expect(named.subarray(0, 16)).toEqual(new Uint8Array(16));
    expect(decodeLink(named)).toEqual({ index: 0, name: "lo", kind: undefined, isUp: false });
  });

  test("is read from the kernel's answer", () => {
    const attributes = encodeAttributes([
      { type: 3, value: "vsockbox0" },
      { type: 18, value: [{ type: 1, value: "vsockmon" }] },
    ]);
    expect(decodeLink(payload(7, 0x81, attributes))).toEqual({
      index: 7,
      name: "vsockbox0",
      kind: "vsockmon",
      isUp: true,
    });
    expect(decodeLink(payload(-1, 0x80, new Uint8Array(0)))).toEqual({
      index: -1,
      name: "",
      kind: undefined,
      isUp: false,
    });
  });

  test("that is cut off is refused", () => {
    expect(() => decodeLink(new Uint8Array(15))).toThrow("it has 15 of 16 bytes");
    expect(() => decodeLink(payload(1, 0, Uint8Array.of(9, 0, 3, 0, 1)))).toThrow(
      "its length is 9",
    );
  });
});
