import { describe, expect, test } from "bun:test";
import { exportNameHint, readMountSource } from "../../../../src/commands/guest/mount-source.ts";

const vsock = (cid: number, port = 5001) => ({ kind: "vsock" as const, cid, port });

describe("a source", () => {
  test.each([
    [undefined, vsock(2), ""],
    ["src", vsock(2), "src"],
    ["my.data-2", vsock(2), "my.data-2"],
    ["host", vsock(2), ""],
    ["2", vsock(2), ""],
    ["3:6000", vsock(3, 6000), ""],
    ["vsock:3", vsock(3), ""],
    ["vsock/3", vsock(3), ""],
    ["3/src", vsock(3), "src"],
    ["3:6000/src", vsock(3, 6000), "src"],
    ["vsock:3:6000/src", vsock(3, 6000), "src"],
    ["host/src", vsock(2), "src"],
    ["vsock/3/src", vsock(3), "src"],
    ["vsock%3/src", vsock(3), "src"],
    ["sibling:4:6000/src", { ...vsock(4, 6000), toHost: true as const }, "src"],
    ["2/my data", vsock(2), "my data"],
    ["unix:/run/x.sock", { kind: "unix" as const, path: "/run/x.sock" }, ""],
    ["unix/run/x.sock", { kind: "unix" as const, path: "/run/x.sock" }, ""],
    ["hybrid:/run/vm", { kind: "hybrid" as const, path: "/run/vm", port: 5001 }, ""],
  ])("%s", (text, address, name) => {
    expect(readMountSource(text)).toEqual({ address, name });
  });

  test.each(["/run/x.sock", "a/b/c", "3/", "/src", "3:4:5", "4294967296", "x:y:z"])(
    "%s is refused",
    (text) => {
      expect(() => readMountSource(text)).toThrow();
    },
  );
});

const TREE: Readonly<Record<string, "socket" | "directory">> = {
  ...{ "/run": "directory", "/run/vfs.sock": "socket", "/run/vm": "socket" },
  ...{ "/run/both": "socket", "/run/both/src": "socket" },
};
const stat = (path: string) => {
  const kind = TREE[path];
  return kind && { isSocket: () => kind === "socket", isDirectory: () => kind === "directory" };
};

describe("a source that is a path", () => {
  const unix = (path: string) => ({ kind: "unix" as const, path });
  const hybrid = (path: string, port: number) => ({ kind: "hybrid" as const, path, port });
  test.each([
    ["unix:/run/vfs.sock", unix("/run/vfs.sock"), ""],
    ["unix:/run/vfs.sock/src", unix("/run/vfs.sock"), "src"],
    ["unix/run/vfs.sock/my data", unix("/run/vfs.sock"), "my data"],
    ["hybrid:/run/vm/src", hybrid("/run/vm", 5001), "src"],
    ["hybrid:/run/vm:6000/src", hybrid("/run/vm", 6000), "src"],
    ["vsock-mux/run/vm/src", hybrid("/run/vm", 5001), "src"],
    // A socket that exists is the whole address.
    ["unix:/run/both/src", unix("/run/both/src"), ""],
    // One that does not exist yet is too.
    ["unix:/run/later.sock", unix("/run/later.sock"), ""],
    ["unix:/run/vfs.sock/", unix("/run/vfs.sock/"), ""],
    ["unix:@abstract/src", unix("@abstract/src"), ""],
  ])("%s", (text, address, name) => {
    expect(readMountSource(text, stat)).toEqual({ address, name });
  });

  test.each([
    [
      "unix:/run/later.sock/src",
      "if src is the name of an export, write unix:/run/later.sock and --export src",
    ],
    [
      "unix:/run/a b/my data",
      "if my data is the name of an export, write 'unix:/run/a b' and --export 'my data'",
    ],
    [
      "hybrid:/run/none:6000/src",
      "if src is the name of an export, write hybrid:/run/none:6000 and --export src",
    ],
    ["unix:/run/later.sock", undefined],
    ["unix:later.sock", undefined],
    ["3/src", undefined],
    ["src", undefined],
    [undefined, undefined],
  ])("%s that does not exist has the hint %p", (text, expected) => {
    expect(exportNameHint(text, stat)).toBe(expected as string);
  });
});
