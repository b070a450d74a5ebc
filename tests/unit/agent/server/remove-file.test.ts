/** What `rm` refuses. The decision alone is tested: nothing here removes anything. */
import { describe, expect, test } from "bun:test";
import { assertRemovable, reasonNotToRemove } from "../../../../src/agent/server/remove-file.ts";
import type { InodeStatus } from "../../../../src/ffi/directory-calls.ts";

describe("assertRemovable", () => {
  test.each([
    "/",
    "//",
    "/.",
    "/./",
    "/..",
    "/etc/..",
    "/etc/../",
    "/proc/self/root/",
    ".",
    "..",
    "./",
    "a/.",
    "/tmp/..",
    "/proc",
    "/proc/",
    "/etc/../proc",
  ])("refuses %s", (path) => {
    expect(() => assertRemovable(Buffer.from(path))).toThrow("never removed");
  });

  test.each(["/etc", "etc", "...", ".a", "/tmp/x/", "/usr/..b", "/proc/self", "/proc/self/root"])(
    "lets %s through",
    (path) => {
      const { parent, name } = assertRemovable(Buffer.from(path));
      parent.close();
      expect(Buffer.from(name).toString()).toBe(path.replace(/\/+$/, "").split("/").at(-1) ?? "");
    },
  );
});

describe("reasonNotToRemove", () => {
  const directory: InodeStatus = {
    ...{ mode: 0o040755, size: 0, blocks: 0, links: 2, uid: 0, gid: 0 },
    ...{ inode: 10n, device: 1, node: { major: 0, minor: 0 }, isMountPoint: false },
    ...{ accessed: { seconds: 0, nanoseconds: 0 }, modified: { seconds: 0, nanoseconds: 0 } },
  };
  const root = { ...directory, inode: 2n };
  const reason = (status: Partial<InodeStatus>, name = "d") =>
    reasonNotToRemove({ name, status: { ...directory, ...status }, parent: root, root });

  test("a directory in the same file system: none", () => {
    expect(reason({})).toBeUndefined();
    expect(reasonNotToRemove({ name: "d", status: undefined, parent: root, root })).toBeUndefined();
  });
  test("the root under another name", () => {
    expect(reason({ inode: 2n })).toContain("root");
    expect(reason({ inode: 2n, device: 7 })).toBeUndefined();
  });
  test("a mount point, also of the same file system", () => {
    expect(reason({ isMountPoint: true })).toContain("mounted");
  });
  test("on a kernel that does not report mount points, another device", () => {
    expect(reason({ isMountPoint: undefined, device: 7 })).toContain("mounted");
    expect(reason({ isMountPoint: undefined })).toBeUndefined();
    expect(reason({ isMountPoint: false, device: 7 })).toBeUndefined();
  });
  test("a file is not a mount point", () => {
    expect(reason({ mode: 0o100644, isMountPoint: true })).toBeUndefined();
  });
  test("dots and an empty name", () => {
    expect(reason({}, ".")).toContain("by that name");
    expect(reason({}, "..")).toContain("by that name");
    expect(reason({}, "")).toContain("root");
  });
});
