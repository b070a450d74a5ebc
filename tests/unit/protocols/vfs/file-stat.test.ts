import type { FileStat } from "../../../../src/file-stat.ts";
import { expect, test } from "bun:test";
import {
  packStat,
  readStat,
  STAT_BYTES,
  unpackStat,
  writeStat,
} from "../../../../src/protocols/vfs/file-stat.ts";

/** Each field has a value of its own. */
const STAT: FileStat = {
  ...{ ino: 2n ** 64n - 2n, dev: 0x1122_3344_5566_7788n, birth: 1_700_000_000_123_456_789n },
  ...{
    mode: 0o100_644,
    nlink: 3,
    uid: 1000,
    gid: 2 ** 32 - 2,
    rdev: 0x801,
    size: 2 ** 53 - 1,
    blocks: 17,
  },
  atime: { seconds: -1, nanoseconds: 999_999_999 },
  mtime: { seconds: -(2 ** 32) - 5, nanoseconds: 1 },
  ctime: { seconds: 2 ** 33 + 7, nanoseconds: 123_456_789 },
  blksize: 4096,
};

test("facts of a file come back", () => {
  expect(unpackStat(packStat(STAT))).toEqual(STAT);
  const view = new DataView(new ArrayBuffer(STAT_BYTES + 10));
  writeStat(view, 5, STAT);
  expect(readStat(view, 5)).toEqual(STAT);
});

test("facts have the documented layout", () => {
  const view = new DataView(packStat(STAT).buffer);
  expect(view.byteLength).toBe(104);
  expect(view.getBigUint64(0)).toBe(STAT.ino);
  expect(view.getBigUint64(8)).toBe(STAT.dev);
  expect(view.getBigUint64(16)).toBe(STAT.birth);
  expect([24, 28, 32, 36].map((at) => view.getUint32(at))).toEqual([
    0o100_644,
    3,
    1000,
    2 ** 32 - 2,
  ]);
  expect([40, 48, 56].map((at) => view.getBigUint64(at))).toEqual([0x801n, 2n ** 53n - 1n, 17n]);
  expect([64, 80, 88].map((at) => view.getBigInt64(at))).toEqual([
    -1n,
    -(2n ** 32n) - 5n,
    2n ** 33n + 7n,
  ]);
  expect([72, 76, 96, 100].map((at) => view.getUint32(at))).toEqual([
    999_999_999, 1, 123_456_789, 4096,
  ]);
});

test("later versions may append fields, none may be missing", () => {
  expect(unpackStat(Buffer.concat([packStat(STAT), Buffer.alloc(8)]))).toEqual(STAT);
  expect(() => unpackStat(packStat(STAT).subarray(1))).toThrow("104 bytes");
  expect(() => unpackStat(7)).toThrow("104 bytes");
});
