import { expect, test } from "bun:test";
import { realpathSync, symlinkSync } from "node:fs";
import { fuseMountAt, mountPointPath, readMounts } from "../../../src/process/fuse-mounts.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const at = (path: string, type: string) => ({
  ...{ path, type, source: "src", deviceNumber: "0:1", options: [] },
});

test.each([
  ["fuse.vsockbox", true],
  ["fuse.other", true],
  ["fuseblk", false],
  ["fuse", false],
  ["tmpfs", false],
])("a mount of the type %s is one of FUSE: %p", (type, expected) => {
  const mounts = [at("/", "ext4"), at("/work", type)];
  expect(fuseMountAt(mounts, "/work") !== undefined).toBe(expected);
  expect(fuseMountAt(mounts, "/work/below")).toBeUndefined();
  expect(fuseMountAt(mounts, "/")).toBeUndefined();
});

test("a FUSE mount that another mount covers is not found", () => {
  const mounts = [at("/work", "fuse.vsockbox"), at("/work", "tmpfs")];
  expect(fuseMountAt(mounts, "/work")).toBeUndefined();
  expect(fuseMountAt(mounts.toReversed(), "/work")?.type).toBe("fuse.vsockbox");
});

test("the path of a mount point has no links above it, and it is not followed itself", () => {
  using scratch = new ScratchDirectory();
  const real = realpathSync(scratch.path);
  symlinkSync(scratch.path, scratch.file("above"));
  symlinkSync("/nonexistent", scratch.file("own"));
  expect(mountPointPath(`${scratch.file("above")}/own//`)).toBe(`${real}/own`);
  expect(mountPointPath("relative")).toBe(`${realpathSync(".")}/relative`);
  expect(mountPointPath("/")).toBe("/");
  expect(mountPointPath("//")).toBe("/");
  expect(() => mountPointPath("/nonexistent/below")).toThrow("ENOENT");
});

test("the mounts of this process are read", () => {
  expect(readMounts()?.some(({ path }) => path === "/proc")).toBe(true);
});
