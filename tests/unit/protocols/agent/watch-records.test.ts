import { describe, expect, test } from "bun:test";
import {
  type ChangeRecord,
  decodeArmed,
  decodeChange,
  encodeArmed,
  encodeChange,
} from "../../../../src/protocols/agent/watch-records.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

const CHANGES: ChangeRecord[] = [
  { kind: "create", path: bytes("a/b"), from: undefined, isDirectory: true },
  { kind: "modify", path: Uint8Array.of(0xff, 0x0a), from: undefined, isDirectory: false },
  { kind: "remove", path: bytes(""), from: undefined, isDirectory: true },
  { kind: "rename", path: bytes("b"), from: Uint8Array.of(0xc3), isDirectory: false },
  { kind: "attributes", path: bytes("...a"), from: undefined, isDirectory: false },
];

describe("the record of a change", () => {
  test.each(CHANGES)("comes back: %p", (change) => {
    expect(decodeChange(JSON.parse(JSON.stringify(encodeChange(change))))).toEqual(change);
  });

  test("has only the fields that it needs", () => {
    expect(CHANGES.map(encodeChange)).toEqual([
      { event: "create", path: "a/b", directory: true },
      { event: "modify", path: { base64: "/wo=" } },
      { event: "remove", directory: true },
      { event: "rename", path: "b", from: { base64: "ww==" } },
      { event: "attributes", path: "...a" },
    ]);
    expect(encodeChange({ kind: "overflow" })).toEqual({ event: "overflow" });
    expect(decodeChange({ event: "overflow" })).toEqual({ kind: "overflow" });
  });

  test("of a later version is ignored", () => {
    expect(decodeChange({ event: "sealed", path: "a" })).toBeUndefined();
    expect(decodeChange({})).toBeUndefined();
  });

  test("names a former path only for a rename", () => {
    expect(decodeChange({ event: "create", path: "a", from: "b" })).toMatchObject({
      from: undefined,
    });
  });

  test.each([
    ["/etc"],
    [".."],
    ["a/../b"],
    ["a/.."],
    ["./a"],
    ["a//b"],
    ["a/"],
    [""],
    ["a\0b"],
    ["x".repeat(256)],
    [7],
    [{ base64: "!" }],
    [{ base64: "Li4=" }],
  ])("with the path %j is refused", (path) => {
    expect(() => decodeChange({ event: "create", path })).toThrow("cannot read change: ");
    expect(() => decodeChange({ event: "rename", path: "a", from: path })).toThrow();
  });

  test.each([
    [{ event: 1 }],
    [{ event: "rename", path: "a" }],
    [{ event: "create", directory: 1 }],
  ])("%j is refused", (record) => {
    expect(() => decodeChange(record)).toThrow("cannot read change: ");
  });
});

describe("the first record", () => {
  test("comes back", () => {
    const armed = { directories: 12, unreadable: 3 };
    expect(encodeArmed(armed)).toEqual({ event: "ready", ...armed });
    expect(decodeArmed(encodeArmed(armed))).toEqual(armed);
    expect(decodeArmed({ event: "ready" })).toEqual({ directories: 0, unreadable: 0 });
  });

  test.each([
    [{}],
    [{ event: "create" }],
    [{ event: "ready", directories: -1 }],
    [{ event: "ready", unreadable: "1" }],
  ])("is not %j", (record) => {
    expect(() => decodeArmed(record)).toThrow("cannot read change: ");
  });
});
