import { describe, expect, test } from "bun:test";
import { constants } from "node:fs";
import { goOpenFlags, readOpenFlags } from "../../../../src/vfs/server/open-flags.ts";

const { O_RDONLY, O_WRONLY, O_RDWR, O_SYNC, O_DSYNC } = constants;

describe("flags of open", () => {
  test("have an access mode", () => {
    expect([0, 1, 2].map((flags) => readOpenFlags(flags)?.access)).toEqual([
      O_RDONLY,
      O_WRONLY,
      O_RDWR,
    ]);
    expect([0, 1, 2].map((flags) => readOpenFlags(flags)?.isWritable)).toEqual([false, true, true]);
    expect(readOpenFlags(3)).toBeUndefined();
  });

  test("truncate only what is written", () => {
    expect([0o1000, 0o1001, 0o1002].map((flags) => readOpenFlags(flags)?.truncates)).toEqual([
      ...[false, true, true],
    ]);
  });

  test("have O_SYNC and O_DSYNC, which shares a bit with it", () => {
    expect(readOpenFlags(0o10_001)?.access).toBe(O_WRONLY | O_DSYNC);
    expect(readOpenFlags(0o4_010_001)?.access).toBe(O_WRONLY | O_SYNC);
  });

  test("have O_EXCL and O_DIRECTORY of x86-64", () => {
    expect(readOpenFlags(0o201)).toMatchObject({ isExclusive: true, isDirectory: false });
    expect(readOpenFlags(0o200_000)).toMatchObject({ isExclusive: false, isDirectory: true });
  });

  test("have nothing else: no O_APPEND, O_CREAT, O_DIRECT, O_TMPFILE, O_PATH", () => {
    const all = 0o2000 | 0o100 | 0o40_000 | 0o20_000_000 | 0o10_000_000 | 0o4000 | 0o1_000_000;
    expect(readOpenFlags(all | 1)).toEqual({
      ...{ access: O_WRONLY, isWritable: true, isExclusive: false, truncates: false },
      isDirectory: false,
    });
  });

  test("of a Go guest are the access mode and O_TRUNC", () => {
    expect([32_768, 33_793, 34_817, 0o1002].map(goOpenFlags)).toEqual([0, 1, 1, 0o1002]);
  });
});
