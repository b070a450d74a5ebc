import { describe, expect, test } from "bun:test";
import { normalisePath, placeOf, shownMountPoint } from "../../../../src/vfs/server/go-path.ts";

const place = (path: string, mountPoint = "/mnt/work") => {
  const found = placeOf(path, mountPoint);
  return found.kind === "inside" ? `inside ${Buffer.from(found.path).toString()}` : found;
};

describe("a path of the Go dialect", () => {
  test.each([
    ["/", "/"],
    ["//a///b/", "/a/b"],
    ["/./a/.", "/a"],
    ["/...", "/..."],
  ])("%p is %p", (path, normal) => {
    expect(normalisePath(path)).toBe(normal);
  });

  test.each(["", "a", "./a", "/..", "/a/../b", "/a/.."])("%p is refused", (path) => {
    expect(normalisePath(path)).toBeUndefined();
    expect(placeOf(path, "/")).toEqual({ kind: "outside" });
  });

  test("lies below the mount point, above it or outside", () => {
    expect(place("/mnt/work")).toBe("inside ");
    expect(place("/mnt/work/")).toBe("inside ");
    expect(place("/mnt/work/a/b")).toBe("inside a/b");
    expect(place("/mnt")).toEqual({ kind: "parent", child: "work" });
    expect(place("/")).toEqual({ kind: "parent", child: "mnt" });
    for (const path of ["/mnt/worker", "/mn", "/mnt/w", "/other", "/work"]) {
      expect(place(path)).toEqual({ kind: "outside" });
    }
  });

  test("lies below a mount point that is the root", () => {
    expect([place("/", "/"), place("/a/b", "/")]).toEqual(["inside ", "inside a/b"]);
  });
});

describe("the mount point of a guest", () => {
  test.each([
    ["getattr", "/mnt/work/", "/mnt/work"],
    ["readdir", "/mnt/work", "/mnt/work"],
    ["lookup", "/mnt/work/a", "/mnt/work"],
    ["lookup", "/a", "/"],
    ["lookup", "/", "/"],
    ["getattr", "mnt", undefined],
    ["lookup", "/mnt/../a", undefined],
    ["open", "/mnt/work", undefined],
    ["create", "/mnt/work/a", undefined],
  ] as const)("with %s of %p is %p", (op, path, mountPoint) => {
    expect(shownMountPoint(op, path)).toBe(mountPoint);
  });
});
