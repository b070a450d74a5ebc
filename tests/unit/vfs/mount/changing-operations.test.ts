import { expect, test } from "bun:test";
import { isChange, needsWriting } from "../../../../src/vfs/mount/changing-operations.ts";
import type { HostOperation } from "../../../../src/vfs/mount/dispatch.ts";

const bytes = new TextEncoder().encode("name");
const NOTHING = {
  ...{ handle: undefined, mode: undefined, uid: undefined, gid: undefined },
  ...{ size: undefined, atime: undefined, mtime: undefined },
};

const CHANGING: readonly HostOperation[] = [
  { op: "setAttributes", changes: { ...NOTHING, mode: 0o600 } },
  { op: "setAttributes", changes: { ...NOTHING, size: 0 } },
  { op: "symlink", name: bytes, target: bytes },
  { op: "makeNode", name: bytes, mode: 0o100_644, rdev: 0 },
  { op: "makeDirectory", name: bytes, mode: 0o755 },
  { op: "unlink", name: bytes },
  { op: "removeDirectory", name: bytes },
  { op: "rename", name: bytes, newParent: 1, newName: bytes, flags: 0 },
  { op: "link", existing: 2, name: bytes },
  { op: "create", name: bytes, flags: 0, mode: 0o644 },
  { op: "write", handle: 1, offset: 0, data: bytes, isAppend: false },
  { op: "fallocate", handle: 1, offset: 0, length: 1, mode: 0 },
  {
    op: "copyFileRange",
    from: { handle: 1, offset: 0 },
    to: { handle: 2, offset: 0 },
    length: 1,
  },
  { op: "setXattr", name: bytes, value: bytes, flags: 0 },
  { op: "removeXattr", name: bytes },
];

test.each(CHANGING.map((operation) => [operation.op, operation] as const))(
  "%s is a change, and refused by a read-only mount",
  (_, operation) => {
    expect(isChange(operation)).toBe(true);
    expect(needsWriting(operation)).toBe(true);
  },
);

const READING: readonly HostOperation[] = [
  { op: "lookup", name: bytes },
  { op: "getAttributes", handle: undefined },
  { op: "readLink" },
  { op: "read", handle: 1, offset: 0, size: 1 },
  { op: "readDirectory", handle: 1, offset: 0, size: 1, isPlus: true },
  { op: "release", handle: 1 },
  { op: "getXattr", name: bytes, size: 0 },
  { op: "statFilesystem" },
];

test.each(READING.map((operation) => [operation.op, operation] as const))(
  "%s needs no writing",
  (_, operation) => {
    expect(isChange(operation)).toBe(false);
    expect(needsWriting(operation)).toBe(false);
  },
);

test("an open needs writing if it may write, or truncates", () => {
  const needs = (flags: number) => needsWriting({ op: "open", flags });
  expect([0o0, 0o1, 0o2, 0o1000, 0o1001, 0o2000].map(needs)).toEqual([
    ...[false, true, true, true, true, false],
  ]);
  expect(isChange({ op: "open", flags: 0o1 })).toBe(false);
});

test("what a process that wakes watches sets is nothing", () => {
  expect(needsWriting({ op: "setAttributes", changes: NOTHING })).toBe(false);
});
