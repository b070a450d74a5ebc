import { describe, expect, test } from "bun:test";
import type { DeviceNode, DevicePath } from "../../../../src/diagnose/facts/devices.ts";
import { judgeDevices } from "../../../../src/diagnose/judge/devices.ts";
import { VsockboxError } from "../../../../src/errors.ts";
import { ANY } from "../../../../src/net/address.ts";
import { LOADED, node, system, withModules } from "../../../support/doctor-facts.ts";

function judged(path: DevicePath, changed: Partial<DeviceNode>, uid = 0) {
  const nodes = { ...system().nodes, [path]: node(changed) };
  const facts = withModules({ vhost_vsock: LOADED }, { uid, nodes, localCid: undefined });
  return judgeDevices(facts).find(({ message }) => message.startsWith(path));
}

describe("a device node", () => {
  test("may be opened", () => {
    expect(judged("/dev/vsock", {})).toMatchObject({ severity: "ok", code: "device-node" });
  });

  test("does not exist: it is made with the kernel's number", () => {
    expect(judged("/dev/vsock", { state: "missing", minor: 258 })).toMatchObject({
      severity: "warning",
      code: "device-node-missing",
      fix: "mknod -m 666 /dev/vsock c 10 258",
    });
    expect(judged("/dev/vhost-vsock", { state: "missing", minor: 241 }, 1000)).toMatchObject({
      fix: "sudo mknod -m 660 /dev/vhost-vsock c 10 241",
    });
    expect(judged("/dev/vsock", { state: "missing", minor: undefined })).toMatchObject({
      fix: undefined,
    });
  });

  test("is another file: that is replaced", () => {
    expect(judged("/dev/vsock", { state: "wrong", minor: 258 })).toMatchObject({
      severity: "warning",
      code: "device-node-wrong",
      fix: "rm /dev/vsock && mknod -m 666 /dev/vsock c 10 258",
    });
    expect(judged("/dev/vsock", { state: "wrong", minor: undefined }, 7)).toMatchObject({
      fix: "sudo rm /dev/vsock",
    });
  });

  test("may not be opened by this user", () => {
    const denied = { isAccessible: false, mode: 0o600 };
    expect(judged("/dev/vsock", denied, 1000)).toMatchObject({
      severity: "warning",
      code: "device-node-denied",
      message: expect.stringContaining("user 1000"),
      fix: "sudo chmod 666 /dev/vsock",
      hint: undefined,
    });
    const grouped = { isAccessible: false, mode: 0o660, gid: 108 };
    expect(judged("/dev/vhost-vsock", grouped, 1000)).toMatchObject({
      fix: "sudo chmod 666 /dev/vhost-vsock",
      hint: "or add user 1000 to group 108, which may open it, and log in again",
    });
    expect(judged("/dev/vhost-vsock", { ...grouped, gid: 0 }, 1000)).toMatchObject({
      hint: undefined,
    });
    expect(judged("/dev/vhost-vsock", { ...grouped, mode: 0o640 }, 1000)).toMatchObject({
      hint: undefined,
    });
  });

  test("is not missed by a system that does not need it", () => {
    const paths = (facts = system()) =>
      judgeDevices({ ...facts, localCid: undefined }).map(({ message }) => message.split(" ")[0]);
    expect(paths()).toEqual(["/dev/vsock"]);
    expect(paths(withModules({ vsock: { state: "loadable", load: [] } }))).toEqual([]);
    const builtIn = { state: "built-in", load: [] } as const;
    expect(paths(withModules({ vsock: builtIn, vhost_vsock: builtIn }))).toEqual([
      "/dev/vsock",
      "/dev/vhost-vsock",
    ]);
    const nodes = { ...system().nodes, "/dev/kvm": node(), "/dev/fuse": node() };
    expect(paths(system({ nodes }))).toEqual(["/dev/vsock", "/dev/kvm", "/dev/fuse"]);
  });
});

describe("the local CID", () => {
  const cid = (value: number) =>
    judgeDevices(system({ localCid: { cid: value } })).find(({ code }) => code === "local-cid");

  test("is a guest's or the host's", () => {
    expect(cid(3)).toMatchObject({ severity: "ok", message: "the CID of this machine is 3" });
    expect(cid(2)).toMatchObject({
      severity: "ok",
      message: "the CID of this machine is 2, the host",
    });
  });

  test("is not a CID of its own", () => {
    for (const value of [1, ANY]) expect(cid(value)).toMatchObject({ severity: "info" });
  });

  test("that cannot be read is the device's finding", () => {
    const error = new VsockboxError({ code: "REFUSED", operation: "open" });
    expect(judgeDevices(system({ localCid: { error } })).map(({ code }) => code)).toEqual([
      "device-node",
    ]);
  });
});
