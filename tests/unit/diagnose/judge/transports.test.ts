import { describe, expect, test } from "bun:test";
import {
  judgeTransportFor,
  judgeTransports,
  transportRemedy,
} from "../../../../src/diagnose/judge/transports.ts";
import { ANY } from "../../../../src/net/address.ts";
import {
  LOADED,
  loadable,
  MISSING,
  node,
  system,
  withModules,
} from "../../../support/doctor-facts.ts";

const NONE = { vmw_vsock_virtio_transport: MISSING } as const;
const NO_DEVICE = { virtio: { count: 0, driven: 0 } } as const;

describe("without a target", () => {
  test("each direction is described, the missing ones with the command that loads them", () => {
    const facts = withModules({ vsock_loopback: loadable("vsock_loopback"), vhost_vsock: MISSING });
    expect(judgeTransports(facts)).toMatchObject([
      { severity: "info", code: "transport-loopback", fix: "modprobe vsock_loopback" },
      {
        severity: "ok",
        code: "transport-to-host",
        message: "a guest's way to its host (CID 2): vmw_vsock_virtio_transport is loaded",
      },
      {
        severity: "info",
        code: "transport-to-guests",
        hint: "vhost_vsock is not installed: install the modules of Linux 6.1.0-9-amd64",
      },
      { severity: "ok", code: "vsock-device" },
    ]);
  });

  test("Hyper-V's and VMware's transports count", () => {
    const hyperv = withModules({ ...NONE, hv_sock: { state: "built-in", load: [] } }, NO_DEVICE);
    expect(judgeTransports(hyperv)[1]).toMatchObject({
      severity: "ok",
      message: expect.stringContaining("hv_sock is built in"),
    });
    const vmci = withModules({ ...NONE, vmw_vsock_vmci_transport: LOADED }, NO_DEVICE);
    expect(judgeTransports(vmci).map(({ severity }) => severity)).toEqual(["info", "ok", "ok"]);
  });

  test.each([
    ["loopback", NO_DEVICE, "modprobe vsock_loopback"],
    [
      "the driver of the VM's device",
      { virtio: { count: 1, driven: 0 } },
      "modprobe vmw_vsock_virtio_transport",
    ],
    [
      "vhost on a host with KVM",
      { ...NO_DEVICE, nodes: { ...system().nodes, "/dev/kvm": node() } },
      "modprobe vhost_vsock",
    ],
  ])("if none is loaded, %s is proposed", (_name, changes, fix) => {
    const modules = {
      vsock_loopback: loadable("vsock_loopback"),
      vmw_vsock_virtio_transport: loadable("vmw_vsock_virtio_transport"),
      vhost_vsock: loadable("vhost_vsock"),
    };
    expect(judgeTransports(withModules(modules, changes))[0]).toMatchObject({
      severity: "error",
      code: "transport-none",
      failure: "UNAVAILABLE",
      fix,
    });
    expect(judgeTransports(withModules(modules, { ...changes, uid: 5 }))[0]).toMatchObject({
      fix: `sudo ${fix}`,
    });
  });

  test("a host with KVM and no vhost_vsock has loopback at least", () => {
    const nodes = { ...system().nodes, "/dev/kvm": node() };
    const facts = withModules(
      { ...NONE, vsock_loopback: loadable("vsock_loopback") },
      { ...NO_DEVICE, nodes },
    );
    expect(judgeTransports(facts)).toMatchObject([
      { code: "transport-none", fix: "modprobe vsock_loopback" },
    ]);
  });

  test("a kernel that lacks it names the module", () => {
    expect(judgeTransports(withModules(NONE, NO_DEVICE))).toMatchObject([
      { code: "transport-none", fix: undefined, hint: "this kernel has no vsock_loopback" },
    ]);
  });

  test("a kernel without vsock has a finding of its own", () => {
    for (const state of ["absent", "loadable", "missing"] as const) {
      const vsock = { state, load: [] };
      expect(judgeTransports(withModules({ ...NONE, vsock }, NO_DEVICE))).toEqual([]);
    }
  });

  test("a device without a driver is an error although loopback works", () => {
    const modules = {
      vsock_loopback: LOADED,
      vmw_vsock_virtio_transport: loadable("vmw_vsock_virtio_transport"),
    };
    const facts = withModules(modules, { virtio: { count: 1, driven: 0 } });
    expect(judgeTransports(facts).at(-1)).toMatchObject({
      severity: "error",
      code: "vsock-device",
      failure: "UNAVAILABLE",
      fix: "modprobe vmw_vsock_virtio_transport",
    });
  });
});

describe("for a target", () => {
  const to = (cid: number, facts = system(), toHost?: true) =>
    judgeTransportFor(facts, { kind: "vsock", cid, port: 5000, ...(toHost ? { toHost } : {}) }).map(
      ({ severity, code }) => `${severity} ${code}`,
    );
  const host = withModules({ ...NONE, vhost_vsock: LOADED });

  test("CID 1 needs loopback", () => {
    expect(to(1)).toEqual(["error transport-loopback"]);
    expect(to(1, withModules({ vsock_loopback: LOADED }))).toEqual(["ok transport-loopback"]);
  });

  test("CID 2 and siblings need the way to the host", () => {
    for (const cid of [0, 2]) expect(to(cid)).toEqual(["ok transport-to-host"]);
    expect(to(2, host)).toEqual(["error transport-to-host"]);
    expect(to(9, host, true)).toEqual(["error transport-to-host"]);
    expect(to(9, system(), true)).toEqual(["ok transport-to-host"]);
  });

  test("other CIDs need the way to guests, or to a host that forwards", () => {
    for (const cid of [3, ANY]) {
      expect(to(cid, host)).toEqual(["ok transport-to-guests"]);
      expect(to(cid)).toEqual(["ok transport-to-host"]);
      expect(to(cid, withModules(NONE))).toEqual(["error transport-to-guests"]);
    }
  });

  test("the error has the command that loads it", () => {
    const facts = withModules({ vsock_loopback: loadable("vsock_loopback") });
    expect(judgeTransportFor(facts, { kind: "vsock", cid: 1, port: 1 })).toMatchObject([
      { failure: "UNAVAILABLE", fix: "modprobe vsock_loopback" },
    ]);
    for (const state of ["absent", "loadable", "missing"] as const) {
      expect(to(1, withModules({ vsock: { state, load: [] } }))).toEqual([]);
    }
  });
});

test("the remedy is that of the transport that a target needs, else of the best one", () => {
  const facts = withModules(
    {
      vsock_loopback: loadable("vsock_loopback"),
      vmw_vsock_virtio_transport: loadable("vmw_vsock_virtio_transport"),
      vhost_vsock: loadable("vhost_vsock"),
    },
    NO_DEVICE,
  );
  const fix = (cid: number) => transportRemedy(facts, { kind: "vsock", cid, port: 1 }).fix;
  expect([1, 2, 3].map(fix)).toEqual([
    "modprobe vsock_loopback",
    "modprobe vmw_vsock_virtio_transport",
    "modprobe vhost_vsock",
  ]);
  expect(transportRemedy(facts)).toEqual({ fix: "modprobe vsock_loopback" });
});
