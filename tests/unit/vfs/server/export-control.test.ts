import { expect, test } from "bun:test";
import type { SocketAddress } from "../../../../src/net/address.ts";
import { exportControlPath, socketPathOf } from "../../../../src/vfs/server/export-control.ts";

const UNIX: SocketAddress = { kind: "unix", path: "/run/a.sock" };
const HYBRID: SocketAddress = { kind: "hybrid", path: "/run/vm", port: 5001 };
const VSOCK: SocketAddress = { kind: "vsock", cid: 4_294_967_295, port: 5001 };
const ABSTRACT: SocketAddress = { kind: "unix", path: "@name" };

test("an address stands for its Unix socket, if it has a file", () => {
  expect([UNIX, HYBRID, VSOCK, ABSTRACT].map(socketPathOf)).toEqual([
    ...["/run/a.sock", "/run/vm_5001", undefined, undefined],
  ]);
});

test("the control socket is beside the first Unix socket", () => {
  const where = { pid: 7, runDirectory: "/run/user/1" };
  expect(exportControlPath([UNIX, HYBRID], where)).toBe("/run/a.sock.export");
  expect(exportControlPath([VSOCK, HYBRID], where)).toBe("/run/vm_5001.export");
});

test("without a Unix socket, or beside a long one, it is in the directory for sockets", () => {
  const where = { pid: 7, runDirectory: "/run/user/1" };
  expect(exportControlPath([VSOCK, ABSTRACT], where)).toBe("/run/user/1/vsockbox-7.export");
  const long: SocketAddress = { kind: "unix", path: `/${"x".repeat(104)}` };
  expect(exportControlPath([long], where)).toBe("/run/user/1/vsockbox-7.export");
  expect(exportControlPath([long], { pid: 7, runDirectory: undefined })).toBeUndefined();
  expect(exportControlPath([VSOCK], { pid: 7, runDirectory: undefined })).toBeUndefined();
});
