import { describe, expect, test } from "bun:test";
import { decodeMap, encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import { UTIME_NOW } from "../../../../src/protocols/vfs/fields.ts";
import {
  decodeVfsRequest,
  encodeVfsRequest,
  encodeWriteHead,
  OPERATIONS,
  type VfsRequest,
} from "../../../../src/protocols/vfs/requests.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const path = bytes("a/b");
const newPath = bytes("c");
const name = bytes("user.x");

/** One request of each operation. */
const REQUESTS: readonly VfsRequest[] = [
  { op: "lookup", path },
  { op: "getattr", path, handle: 3 },
  { op: "read", handle: 1, offset: 2 ** 40, size: 65_536 },
  { op: "write", handle: 1, offset: 7, flags: 1, data: bytes("data") },
  { op: "create", path, flags: 0o302, mode: 0o644, uid: 1, gid: 2 },
  { op: "mkdir", path, mode: 0o755, uid: 1, gid: 2 },
  { op: "unlink", path },
  { op: "rmdir", path },
  { op: "rename", path, newPath, flags: 2 },
  { op: "open", path, flags: 2 },
  { op: "release", handle: 2 ** 32 - 1 },
  { op: "readdir", handle: 1, offset: 2n ** 63n, size: 4096 },
  { op: "fsync", handle: 1, flags: 1 },
  { op: "symlink", target: bytes("../anything/."), newPath, uid: 1, gid: 2 },
  { op: "readlink", path },
  { op: "link", path, newPath },
  { op: "statfs" },
  {
    ...{ op: "setAttributes", path, handle: 1, mode: 0o4755, uid: 1, gid: 2, size: 2 ** 50 },
    atime: { seconds: -1, nanoseconds: 5 },
    mtime: { seconds: 0, nanoseconds: UTIME_NOW },
  },
  { op: "readdirPlus", handle: 1, offset: 0n, size: 4096 },
  { op: "mknod", path, mode: 0o010_644, rdev: 5, uid: 1, gid: 2 },
  { op: "fallocate", handle: 1, offset: 1, length: 2, flags: 3 },
  { op: "seek", handle: 1, offset: 5, whence: 3 },
  { op: "copyRange", handle: 1, offset: 2, toHandle: 3, toOffset: 4, length: 5 },
  { op: "flush", handle: 1 },
  { op: "getXattr", path, name },
  { op: "setXattr", path, name, data: bytes("v"), flags: 1 },
  { op: "listXattr", path },
  { op: "removeXattr", path, name },
  { op: "cancel", target: 9 },
  { op: "subscribe" },
];

const NUMBERS = {
  ...{
    lookup: 0,
    getattr: 1,
    read: 3,
    write: 4,
    create: 5,
    mkdir: 6,
    unlink: 7,
    rmdir: 8,
    rename: 9,
  },
  ...{ open: 10, release: 11, readdir: 12, fsync: 13, symlink: 16, readlink: 17, link: 18 },
  ...{ statfs: 32, setAttributes: 33, readdirPlus: 34, mknod: 35, fallocate: 36, seek: 37 },
  ...{ copyRange: 38, flush: 39, getXattr: 40, setXattr: 41, listXattr: 42, removeXattr: 43 },
  ...{ cancel: 44, subscribe: 45 },
};

describe("requests", () => {
  test("have their numbers for ever", () => {
    const found = Object.entries(OPERATIONS).map(([op, { number }]) => [op, number]);
    expect(Object.fromEntries(found)).toEqual(NUMBERS);
  });

  test("come back, one of each operation", () => {
    expect(REQUESTS.map(({ op }) => op)).toEqual(Object.keys(OPERATIONS) as VfsRequest["op"][]);
    for (const request of REQUESTS) {
      const frame = encodeVfsRequest(77, request);
      expect(new DataView(frame.buffer).getUint32(0)).toBe(frame.length - 4);
      expect(decodeVfsRequest(frame.subarray(4))).toEqual({ id: 77, request });
    }
  });

  test("have each field but the optional ones, and none twice", () => {
    const optional = ["handle", "uid", "gid", "mode", "size", "atime", "mtime", "flags"];
    for (const request of REQUESTS) {
      const map = new Map(decodeMap(encodeVfsRequest(1, request).subarray(4)));
      const fields = Object.entries(OPERATIONS[request.op].fields);
      expect([request.op, map.size]).toEqual([request.op, fields.length + 2]);
      for (const [field, { key, isOptional }] of fields) {
        const rest = Object.fromEntries([...map].filter(([other]) => other !== key)) as Parameters<
          typeof encodeMap
        >[0];
        const found = decodeVfsRequest(encodeMap(rest));
        expect([request.op, field, "request" in found]).toEqual([request.op, field, isOptional]);
        if (isOptional) expect(optional).toContain(field);
      }
    }
  });

  test("with unknown keys are read", () => {
    expect(decodeVfsRequest(encodeMap({ op: 0, id: 1, path, later: [1] }))).toEqual({
      id: 1,
      request: { op: "lookup", path },
    });
  });

  test.each([
    ["an unknown operation", { op: 46 }, 38],
    ["an operation above a byte", { op: 256 }, 38],
    ["a text as operation", { op: "0" }, 22],
    ["a text as path", { op: 0, path: "a" }, 22],
    ["a path out of the root", { op: 0, path: bytes("..") }, 22],
    ["an absolute new path", { op: 9, path, new_path: bytes("/x"), flags: 0 }, 22],
    ["a name that is too long", { op: 0, path: new Uint8Array(256).fill(0x61) }, 36],
    ["a handle below 0", { op: 11, fh: -1 }, 22],
    ["a size of the wrong type", { op: 3, fh: 1, off: 0, sz: "9" }, 22],
    [
      "more data than a write has",
      { op: 4, fh: 1, off: 0, data: new Uint8Array(1024 * 1024 + 1) },
      22,
    ],
  ])("with %s are answered", (_, fields, errno) => {
    expect(decodeVfsRequest(encodeMap({ ...fields, id: 5 }))).toEqual({ id: 5, errno });
  });

  test.each([
    ["no id", { op: 0, path }],
    ["an id of the wrong type", { op: 0, path, id: "1" }],
    ["an id below 0", { op: 0, path, id: -1 }],
  ])("with %s end the connection", (_, fields) => {
    expect(() => decodeVfsRequest(encodeMap(fields))).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });

  test("to write send their data from where they are", () => {
    const data = new Uint8Array(1000).fill(9);
    const head = encodeWriteHead(3, { handle: 4, offset: 5, dataBytes: data.length });
    expect(decodeVfsRequest(Buffer.concat([head, data]).subarray(4))).toEqual({
      id: 3,
      request: { op: "write", handle: 4, offset: 5, data: Buffer.from(data) },
    });
    const appending = encodeWriteHead(3, { handle: 4, offset: 5, dataBytes: 1000, flags: 1 });
    expect(decodeVfsRequest(Buffer.concat([appending, data]).subarray(4))).toMatchObject({
      request: { op: "write", offset: 5, flags: 1 },
    });
    const most = { handle: 4, offset: 5, dataBytes: 1024 * 1024 };
    expect(encodeWriteHead(3, most).length).toBeGreaterThan(0);
    expect(() => encodeWriteHead(3, { ...most, dataBytes: 1024 * 1024 + 1 })).toThrow(
      "largest write",
    );
  });
});
