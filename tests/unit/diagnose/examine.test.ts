import { expect, test } from "bun:test";
import { examineSystem, examineTarget } from "../../../src/diagnose/examine.ts";
import { FakeRoot } from "../../support/fake-root.ts";

// The tests of this machine have switched AF_VSOCK off.
const MODULES = "/usr/lib/vsockbox/modules";

test("the system: a guest without its modules", () => {
  using root = new FakeRoot({
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    [`${MODULES}/vsock.ko`]: "",
    [`${MODULES}/vmw_vsock_virtio_transport_common.ko`]: "",
    [`${MODULES}/vsock_loopback.ko`]: "",
  });
  const findings = examineSystem(root.files);
  expect(findings.slice(0, 2)).toMatchObject([
    { code: "vsock-disabled" },
    {
      code: "vsock-not-loaded",
      fix: expect.stringMatching(/^(sudo )?insmod .*vsock\.ko && .*vsock_loopback\.ko$/),
    },
  ]);
  expect(findings.at(-1)?.code).toMatch(/^profiles|token-file/);
});

test("a target on AF_VSOCK is not tried if the host has errors", async () => {
  using root = new FakeRoot({
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    "/proc/modules": "vsock 1\n",
  });
  const address = { kind: "vsock", cid: 1, port: 5000 } as const;
  const findings = await examineTarget({ written: "1", address, options: {} }, root.files);
  expect(findings.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
    "error vsock-disabled",
    "ok kernel",
    "error transport-loopback",
  ]);
});

test("a target on a Unix socket needs no AF_VSOCK", async () => {
  using root = new FakeRoot({});
  const address = { kind: "unix", path: root.path("/none") } as const;
  const findings = await examineTarget({ written: "web", address, options: {} }, root.files);
  expect(findings.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
    "ok address",
    "error socket-missing",
  ]);
});
