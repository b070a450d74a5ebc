import { expect, test } from "bun:test";
import { mountAt, parseMountInfo } from "../../../../src/protocols/procfs/mount-info.ts";

test("a line has the file system's number, path, options, type and source", () => {
  const text = String.raw`27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
36 35 98:0 /mnt1 /a\040b\134040 ro,nosuid shared:7 master:1 - tmpfs x\011y rw`;
  expect(parseMountInfo(text)).toEqual([
    {
      deviceNumber: "254:0",
      path: "/",
      options: ["rw", "relatime"],
      type: "ext4",
      source: "/dev/vda",
    },
    {
      deviceNumber: "98:0",
      path: String.raw`/a b\040`,
      options: ["ro", "nosuid"],
      type: "tmpfs",
      source: "x\ty",
    },
  ]);
});

test("lines of another form are ignored", () => {
  expect(parseMountInfo("\n1 2 3\n1 2 0:1 / /a rw\n - tmpfs x rw\n1 2 0:1 / /a rw - ")).toEqual([]);
});

const mounts = (...paths: readonly [path: string, type: string][]) =>
  paths.map(([path, type]) => ({ path, type, source: "", deviceNumber: "0:1", options: [] }));

test.each([
  ["/work", [["/", "ext4"]], undefined],
  [
    "/work",
    [
      ["/", "ext4"],
      ["/work", "tmpfs"],
    ],
    "tmpfs",
  ],
  [
    "/work/a",
    [
      ["/", "ext4"],
      ["/work", "tmpfs"],
    ],
    undefined,
  ],
  [
    "/worker",
    [
      ["/", "ext4"],
      ["/work", "tmpfs"],
    ],
    undefined,
  ],
  [
    "/",
    [
      ["/", "rootfs"],
      ["/", "ext4"],
      ["/work", "tmpfs"],
    ],
    "ext4",
  ],
  [
    "/work",
    [
      ["/work", "ext4"],
      ["/work", "fuse.x"],
    ],
    "fuse.x",
  ],
  [
    "/work",
    [
      ["/work", "fuse.x"],
      ["/work", "tmpfs"],
      ["/work/a", "proc"],
    ],
    "tmpfs",
  ],
  // A later mount above it hides it.
  [
    "/a/b",
    [
      ["/", "ext4"],
      ["/a/b", "fuse.x"],
      ["/a", "tmpfs"],
    ],
    undefined,
  ],
  [
    "/a/b",
    [
      ["/", "ext4"],
      ["/a", "tmpfs"],
      ["/a/b", "fuse.x"],
    ],
    "fuse.x",
  ],
  ["/work", [], undefined],
] as [string, [string, string][], string | undefined][])(
  "at %s of %p is %p",
  (path, list, expected) => {
    expect(mountAt(mounts(...list), path)?.type).toBe(expected as string);
  },
);
