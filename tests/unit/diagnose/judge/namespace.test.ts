import { expect, test } from "bun:test";
import { judgeNamespace } from "../../../../src/diagnose/judge/namespace.ts";
import { system } from "../../../support/doctor-facts.ts";

const NONE = { mode: undefined, childMode: undefined, toHostFallback: undefined };
const judge = (
  changes: Partial<typeof NONE | Record<keyof typeof NONE, string>>,
  uid = 0,
  count = 1,
) =>
  judgeNamespace(
    system({ namespace: { ...NONE, ...changes }, uid, virtio: { count, driven: count } }),
  );

test("older kernels have nothing to judge", () => {
  expect(judge({})).toEqual([]);
});

test("a global namespace is as it always was", () => {
  expect(judge({ mode: "global", childMode: "global", toHostFallback: "1" })).toMatchObject([
    { severity: "ok", code: "namespace", message: "net.vsock.ns_mode is global" },
  ]);
});

test("a local namespace does not reach the VMs of others", () => {
  expect(judge({ mode: "local", childMode: "local" })).toMatchObject([
    {
      severity: "warning",
      code: "namespace-local",
      fix: "nsenter --net=/proc/1/ns/net vsockbox doctor",
    },
  ]);
  expect(judge({ mode: "local" }, 1000)[0]?.fix).toStartWith("sudo nsenter ");
});

test("containers of a global namespace may be local", () => {
  expect(judge({ mode: "global", childMode: "local" })).toMatchObject([
    { severity: "ok" },
    {
      severity: "info",
      code: "namespace",
      message: expect.stringContaining("child_ns_mode is local"),
    },
  ]);
});

test("without the fallback a guest does not reach its siblings by their CID alone", () => {
  expect(judge({ toHostFallback: "0" })).toMatchObject([
    {
      severity: "info",
      code: "to-host-fallback-off",
      fix: "sh -c 'echo 1 > /proc/sys/net/vsock/g2h_fallback'",
    },
  ]);
  expect(judge({ toHostFallback: "0" }, 0, 0)).toEqual([]);
  expect(judge({ toHostFallback: "1" })).toEqual([]);
});
