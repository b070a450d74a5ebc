import { describe, expect, test } from "bun:test";
import { readModules } from "../../../../src/diagnose/facts/modules.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

const LIB = "/lib/modules/6.1.0";
const PACKED = "/usr/lib/vsockbox/modules";
const DEP = [
  "kernel/v/vsock.ko.xz:",
  "kernel/v/vmw_vsock_virtio_transport_common.ko: kernel/v/vsock.ko.xz",
  "kernel/v/vsock_loopback.ko: kernel/v/vmw_vsock_virtio_transport_common.ko kernel/v/vsock.ko.xz",
].join("\n");

function modules(content: Record<string, string>, config?: Record<string, string>) {
  using root = new FakeRoot(content);
  return readModules(root.files, {
    release: "6.1.0",
    version: [6, 1, 0],
    config: config === undefined ? undefined : new Map(Object.entries(config)),
  });
}

describe("a module", () => {
  test("is loaded", () => {
    const found = modules({
      "/proc/modules": "vhost_vsock 1 0 - Live 0x0\nvsock 57344 2 a,b, Live 0x0\n",
    });
    expect(found.vsock).toEqual({ state: "loaded", load: [] });
    expect(found.vhost_vsock.state).toBe("loaded");
    expect(found.vsock_loopback).toEqual({ state: "absent", load: [] });
  });

  test.each([
    ["/sys/module", { "/sys/module/vsock/refcnt": "1" }, undefined],
    ["the configuration", {}, { CONFIG_VSOCKETS: "y" }],
    [
      "modules.builtin",
      { [`${LIB}/modules.builtin`]: "kernel/net/vmw_vsock/vsock.ko\n" },
      undefined,
    ],
  ])("is built in by %s", (_name, content, config) => {
    expect(modules(content, config).vsock).toEqual({ state: "built-in", load: [] });
  });

  test.each(["/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe"])(
    "is loaded by %s",
    (modprobe) => {
      const found = modules({ [`${LIB}/modules.dep`]: DEP, [modprobe]: "" });
      expect(found.vsock_loopback).toEqual({
        state: "loadable",
        load: ["modprobe vsock_loopback"],
      });
    },
  );

  test("is loaded by insmod with its missing dependencies", () => {
    const dep = { [`${LIB}/modules.dep`]: DEP };
    expect(modules(dep).vsock_loopback).toEqual({
      state: "loadable",
      load: [
        `insmod ${LIB}/kernel/v/vsock.ko.xz`,
        `insmod ${LIB}/kernel/v/vmw_vsock_virtio_transport_common.ko`,
        `insmod ${LIB}/kernel/v/vsock_loopback.ko`,
      ],
    });
    expect(modules({ ...dep, "/proc/modules": "vsock 1\n" }).vsock_loopback.load).toHaveLength(2);
    expect(modules({ ...dep, "/sys/module/vsock/x": "" }).vsock_loopback.load).toHaveLength(2);
  });

  test("is packed in an initramfs", () => {
    const names = [
      "vsock",
      "vmw_vsock_virtio_transport_common",
      "vmw_vsock_virtio_transport",
      "virtio",
    ];
    const content = Object.fromEntries(names.map((name) => [`${PACKED}/${name}.ko`, ""]));
    const found = modules({ ...content, "/bin/modprobe": "" });
    // There is no virtio_ring, which the kernel then has built in.
    expect(found.vmw_vsock_virtio_transport.load).toEqual([
      `insmod ${PACKED}/vsock.ko`,
      `insmod ${PACKED}/vmw_vsock_virtio_transport_common.ko`,
      `insmod ${PACKED}/vmw_vsock_virtio_transport.ko`,
    ]);
    expect(found.vsock.load).toEqual([`insmod ${PACKED}/vsock.ko`]);
    expect(found.vhost_vsock.state).toBe("absent");
  });

  test.each([
    [
      "vhost_vsock",
      ["vhost_iotlb", "vhost", "vsock", "vmw_vsock_virtio_transport_common", "vhost_vsock"],
    ],
    ["vsock_loopback", ["vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback"]],
    [
      "vmw_vsock_virtio_transport",
      [
        "virtio",
        "virtio_ring",
        "vsock",
        "vmw_vsock_virtio_transport_common",
        "vmw_vsock_virtio_transport",
      ],
    ],
    ["hv_sock", ["vsock", "hv_sock"]],
    ["vmw_vsock_vmci_transport", ["vsock", "vmw_vmci", "vmw_vsock_vmci_transport"]],
  ] as const)("%s is packed with all that it needs", (name, order) => {
    const content = Object.fromEntries(order.map((file) => [`${PACKED}/${file}.ko`, ""]));
    expect(modules(content)[name].load).toEqual(order.map((file) => `insmod ${PACKED}/${file}.ko`));
  });

  test("is configured, but not installed", () => {
    expect(modules({}, { CONFIG_VSOCKETS: "m", CONFIG_VHOST_VSOCK: "n" })).toMatchObject({
      vsock: { state: "missing", load: [] },
      vhost_vsock: { state: "absent", load: [] },
    });
  });
});
