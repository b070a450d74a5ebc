import { describe, expect, test } from "bun:test";
import {
  fromGoMode,
  goInode,
  goPathInode,
  goType,
  toGoMode,
  toGoRequestMode,
} from "../../../../src/protocols/vfs/go-mode.ts";

describe("modes of Go", () => {
  test.each([
    ["a file", 0o100_644, 0o644, 0],
    ["a directory", 0o040_755, 2 ** 31 + 0o755, 2 ** 31],
    ["a link", 0o120_777, 2 ** 27 + 0o777, 2 ** 27],
    ["a FIFO", 0o010_600, 2 ** 25 + 0o600, 2 ** 25],
    ["a socket", 0o140_600, 2 ** 24 + 0o600, 2 ** 24],
    ["a block device", 0o060_600, 2 ** 26 + 0o600, 2 ** 26],
    ["a character device", 0o020_600, 2 ** 26 + 2 ** 21 + 0o600, 2 ** 26 + 2 ** 21],
    ["set-user-ID", 0o104_755, 2 ** 23 + 0o755, 0],
    ["set-group-ID", 0o102_755, 2 ** 22 + 0o755, 0],
    ["a sticky directory", 0o041_777, 2 ** 31 + 2 ** 20 + 0o777, 2 ** 31],
  ])("of %s go both ways", (_, unix, go, type) => {
    expect(toGoMode(unix)).toBe(go);
    expect(fromGoMode(go)).toBe(unix);
    expect(goType(unix)).toBe(type);
  });

  test("without a type that Unix has are files", () => {
    expect(fromGoMode(2 ** 19 + 0o600)).toBe(0o100_600);
    expect(toGoMode(0o644)).toBe(0o644);
  });
});

test("inodes of Go are FNV-1a", () => {
  // Published vectors of FNV-1a 64 for "d" and "f".
  expect(goPathInode("", true)).toBe(0xaf63_d94c_8601_e773n);
  expect(goPathInode("", false)).toBe(0xaf63_db4c_8601_ead9n);
  expect(goInode(0n, 0n)).toBe(0x8820_1fb9_60ff_6465n);
  expect(goInode(1n, 2n)).not.toBe(goInode(2n, 1n));
  // The device as stat(2) has it: the major number 259 is within the minor number 0x1234.
  expect(goInode((259n << 32n) | 0x1234n, 77n)).toBe(0x0c84_6bbb_2698_766fn);
});

test("modes of requests have the special bits twice, and no type", () => {
  expect(toGoRequestMode(0o100_644)).toBe(0o644);
  expect(toGoRequestMode(0o4711)).toBe(0o4711 + 2 ** 23);
  expect(toGoRequestMode(0o040_000 | 0o3777)).toBe(0o3777 + 2 ** 22 + 2 ** 20);
});
