import { describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { readDeviceNodes, readVirtioVsock } from "../../../../src/diagnose/facts/devices.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

describe("device nodes", () => {
  test("are the devices of the kernel, by the number in /proc/misc", () => {
    // The number of /dev/null is 1:3 on every system, and of no miscellaneous device.
    using root = new FakeRoot({
      "/dev/vsock": "->/dev/null",
      "/dev/kvm": "->/dev/null",
      "/proc/misc": "258 vsock\n 61 x\n",
    });
    const nodes = readDeviceNodes(root.files);
    expect(nodes["/dev/vsock"]).toMatchObject({ state: "wrong", minor: 258, mode: 0o666, uid: 0 });
    expect(nodes["/dev/kvm"]).toMatchObject({ state: "wrong", minor: 232 });
    expect(nodes["/dev/vhost-vsock"]).toEqual({
      ...{ state: "missing", mode: 0, uid: 0, gid: 0 },
      ...{ isAccessible: false, minor: 241 },
    });
    expect(nodes["/dev/fuse"]).toMatchObject({ state: "missing", minor: 229 });
  });

  test("are not judged by a number that is not known", () => {
    using root = new FakeRoot({ "/dev/vsock": "->/dev/null" });
    const { "/dev/vsock": found } = readDeviceNodes(root.files);
    expect(found).toMatchObject({ state: "present", minor: undefined, isAccessible: true });
  });

  test("are wrong if they are files", () => {
    using root = new FakeRoot({ "/dev/vsock": "text" });
    chmodSync(root.path("/dev/vsock"), 0o640);
    expect(readDeviceNodes(root.files)["/dev/vsock"]).toMatchObject({
      state: "wrong",
      mode: 0o640,
    });
  });

  test("are right if they have the number of makedev(3)", () => {
    // The miscellaneous devices of this machine, which are examined and not opened.
    const devices = [...readFileSync("/proc/misc", "utf8").matchAll(/^ *(\d+) (\S+)$/gm)]
      .map(([, minor, name]) => ({ minor, node: `/dev/${name}` }))
      .filter(({ node }) => statSync(node, { throwIfNoEntry: false })?.isCharacterDevice());
    expect(devices).not.toEqual([]);
    for (const { minor, node } of devices) {
      using root = new FakeRoot({ "/dev/vsock": `->${node}`, "/proc/misc": `${minor} vsock\n` });
      expect([node, readDeviceNodes(root.files)["/dev/vsock"].state]).toEqual([node, "present"]);
    }
  });
});

describe("virtio vsock devices", () => {
  const bus = "/sys/bus/virtio/devices";

  test("are counted, and those with a driver", () => {
    using root = new FakeRoot({
      [`${bus}/virtio0/device`]: "0x0013\n",
      [`${bus}/virtio0/driver`]: "->../../drivers/vmw_vsock_virtio_transport",
      [`${bus}/virtio1/device`]: "0x0013\n",
      [`${bus}/virtio2/device`]: "0x0001\n",
      [`${bus}/virtio2/driver`]: "->../../drivers/virtio_net",
      [`${bus}/virtio3/vendor`]: "0x1af4\n",
    });
    expect(readVirtioVsock(root.files)).toEqual({ count: 2, driven: 1 });
  });

  test("do not exist without the bus", () => {
    using root = new FakeRoot({});
    expect(readVirtioVsock(root.files)).toEqual({ count: 0, driven: 0 });
  });
});
