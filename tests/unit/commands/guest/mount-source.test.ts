import { describe, expect, test } from "bun:test";
import { readMountSource } from "../../../../src/commands/guest/mount-source.ts";

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
    ["unix:/run/x.sock", { kind: "unix" as const, path: "/run/x.sock" }, ""],
    ["unix/run/x.sock", { kind: "unix" as const, path: "/run/x.sock" }, ""],
    ["hybrid:/run/vm", { kind: "hybrid" as const, path: "/run/vm", port: 5001 }, ""],
  ])("%s", (text, address, name) => {
    expect(readMountSource(text)).toEqual({ address, name });
  });

  test.each(["/run/x.sock", "3:4:5", "4294967296", "x:y:z"])("%s is refused", (text) => {
    expect(() => readMountSource(text)).toThrow();
  });
});
