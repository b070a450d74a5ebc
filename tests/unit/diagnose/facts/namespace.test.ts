import { expect, test } from "bun:test";
import { readNamespace } from "../../../../src/diagnose/facts/namespace.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

test("the sysctls of new kernels", () => {
  const directory = "/proc/sys/net/vsock";
  using root = new FakeRoot({
    [`${directory}/ns_mode`]: "global\n",
    [`${directory}/child_ns_mode`]: "local\n",
    [`${directory}/g2h_fallback`]: "1\n",
  });
  expect(readNamespace(root.files)).toEqual({
    mode: "global",
    childMode: "local",
    toHostFallback: "1",
  });
});

test("older kernels have none", () => {
  using root = new FakeRoot({});
  expect(readNamespace(root.files)).toEqual({
    mode: undefined,
    childMode: undefined,
    toHostFallback: undefined,
  });
});
