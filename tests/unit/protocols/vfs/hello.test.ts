import { describe, expect, test } from "bun:test";
import { decodeMap, encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import type { FileStat } from "../../../../src/file-stat.ts";
import { packStat } from "../../../../src/protocols/vfs/file-stat.ts";
import {
  encodeVfsHello,
  encodeHelloRefusal,
  encodeWelcome,
  isHello,
  readHello,
  readWelcome,
  type VfsWelcome,
} from "../../../../src/protocols/vfs/hello.ts";

const time = { seconds: 1, nanoseconds: 2 };
const root: FileStat = {
  ...{ ino: 5n, dev: 1n, birth: 0n, mode: 0o040_755, nlink: 1, uid: 1, gid: 2, rdev: 0 },
  ...{ size: 10, blocks: 8, atime: time, mtime: time, ctime: time, blksize: 4096 },
};
const welcome: VfsWelcome = {
  ...{
    version: 1,
    name: "src",
    features: ["notify"],
    maxReadBytes: 1 << 20,
    maxWriteBytes: 1 << 19,
    inFlight: 64,
  },
  ...{ isReadOnly: true, root, serverId: Uint8Array.of(1, 2) },
};
const mapOf = (frame: Uint8Array) => decodeMap(frame.subarray(4));

describe("a Hello", () => {
  test("has operation 200, which fits the byte of a Go server", () => {
    const map = mapOf(encodeVfsHello({ name: "src", features: ["notify"] }));
    expect(map.get("op")).toBe(200);
    expect(isHello(map)).toBe(true);
    expect(isHello(decodeMap(encodeMap({ op: 1, path: "/" })))).toBe(false);
    expect(readHello(map)).toEqual({ version: 1, name: "src", features: ["notify"] });
  });

  test("of another version or with more fields is read", () => {
    const map = decodeMap(encodeMap({ op: 200, version: 9, name: "", features: [], later: 1 }));
    expect(readHello(map)).toEqual({ version: 9, name: "", features: [] });
  });

  test.each([
    ["no version", { op: 200, name: "", features: [] }],
    ["bytes as name", { op: 200, version: 1, name: new Uint8Array(1), features: [] }],
    [
      "65 features",
      { op: 200, version: 1, name: "", features: Array.from({ length: 65 }, () => "a") },
    ],
  ])("with %s is refused", (_, fields) => {
    expect(() => readHello(decodeMap(encodeMap(fields)))).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });
});

describe("the answer to a Hello", () => {
  test("comes back", () => {
    expect(readWelcome(mapOf(encodeWelcome(welcome)))).toEqual(welcome);
  });

  test("has no name from an older server, and no bytes in place of one", () => {
    const answer = encodeWelcome({ ...welcome, name: undefined });
    expect(mapOf(answer).has("name")).toBe(false);
    expect(readWelcome(mapOf(answer))).toEqual({ ...welcome, name: undefined });
    const fields = Object.fromEntries(mapOf(answer)) as Record<string, never>;
    const wrong = decodeMap(encodeMap({ ...fields, name: Uint8Array.of(1) }));
    expect(() => readWelcome(wrong)).toThrow("name is not text");
  });

  test("may be a refusal, also a Go server's", () => {
    expect(readWelcome(mapOf(encodeHelloRefusal(2)))).toEqual({ errno: 2 });
    expect(readWelcome(decodeMap(encodeMap({ err: -38 })))).toEqual({ errno: 38 });
  });

  test.each(["max_read", "max_write", "in_flight"])("cannot have 0 as %s", (key) => {
    const fields = {
      ...{ err: 0, version: 1, features: [], max_read: 1, max_write: 1, in_flight: 1 },
      ...{ read_only: false, root: packStat(root), server_id: new Uint8Array(0) },
    };
    expect(readWelcome(decodeMap(encodeMap(fields)))).toMatchObject({ inFlight: 1 });
    expect(() => readWelcome(decodeMap(encodeMap({ ...fields, [key]: 0 })))).toThrow("a limit");
  });
});
