/** What `rm` refuses, and removals beneath a directory of the test. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import {
  assertRemovable,
  namesBelow,
  reasonNotToRemove,
  removeBeneath,
} from "../../../../src/agent/server/remove-file.ts";
import type { InodeStatus } from "../../../../src/ffi/directory-calls.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

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

describe("a removal beneath a directory", () => {
  const remove = (root: string, path: string) =>
    removeBeneath(Buffer.from(root), Buffer.from(path), () => Promise.resolve());

  /** A root with `a/b/c` and a link, and a directory beside it. */
  function prepare(scratch: ScratchDirectory): { root: string; outside: string } {
    const [root, outside] = [scratch.file("root"), scratch.file("outside")];
    mkdirSync(`${root}/a/b`, { recursive: true });
    mkdirSync(outside);
    writeFileSync(`${root}/a/b/c`, "");
    writeFileSync(`${outside}/kept`, "");
    symlinkSync("../outside", `${root}/link`);
    return { root, outside };
  }

  test("removes trees, files and links themselves, and counts them", async () => {
    using scratch = new ScratchDirectory();
    const { root, outside } = prepare(scratch);
    expect(await remove(root, `${root}/a`)).toEqual({ removed: 3, errorCount: 0, errors: [] });
    expect(await remove(root, `${root}/link`)).toMatchObject({ removed: 1 });
    expect(readdirSync(root)).toEqual([]);
    expect(readdirSync(outside)).toEqual(["kept"]);
  });

  test("goes through no link below the root, but through the root's own", async () => {
    using scratch = new ScratchDirectory();
    const { root, outside } = prepare(scratch);
    expect(remove(root, `${root}/link/kept`)).rejects.toThrow();
    expect(existsSync(`${outside}/kept`)).toBe(true);
    symlinkSync("root", scratch.file("to-root"));
    const through = scratch.file("to-root");
    expect(await remove(through, `${through}/a/b/c`)).toMatchObject({ removed: 1 });
  });

  test("of a missing file removes nothing", async () => {
    using scratch = new ScratchDirectory();
    const { root } = prepare(scratch);
    expect(await remove(root, `${root}/none`)).toEqual({ removed: 0 });
    expect(await remove(root, `${root}/none/either`)).toEqual({ removed: 0 });
  });

  test("has names below the root, and no other path", () => {
    const names = (root: string, path: string) =>
      namesBelow(Buffer.from(root), Buffer.from(path)).map((name) => Buffer.from(name).toString());
    expect(names("/srv", "/srv/a/..b")).toEqual(["a", "..b"]);
    expect(names("/", "/a")).toEqual(["a"]);
    for (const path of [
      "/srv",
      "/srv/",
      "/srv/..",
      "/srv/a/../b",
      "/srv/./a",
      "/srv//a",
      "/srvx/a",
      "/etc/a",
      "a",
    ]) {
      expect(() => names("/srv", path)).toThrow("it is not below /srv");
    }
  });
});
