import { describe, expect, test } from "bun:test";
import { readNeighbours, readVsockFacts } from "../../../../src/diagnose/facts/system-facts.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

describe("AF_VSOCK", () => {
  test("of another root: its files alone, without a system call", () => {
    using root = new FakeRoot({
      "/proc/sys/kernel/osrelease": "6.1.0\n",
      "/proc/modules": "vsock 1\n",
      "/proc/sys/net/vsock/ns_mode": "local\n",
    });
    expect(readVsockFacts(root.files, { uid: 7 })).toMatchObject({
      uid: 7,
      kernel: { release: "6.1.0" },
      modules: { vsock: { state: "loaded" } },
      virtio: { count: 0 },
      namespace: { mode: "local" },
      localCid: undefined,
    });
    expect(readVsockFacts(root.files).uid).toBe(process.geteuid?.() ?? 0);
  });

  test.each([
    ["1", "1"],
    ["yes", "yes"],
    ["0", undefined],
    ["", undefined],
  ])("is switched off by the variable %p", (value, expected) => {
    // The variable itself stays set: nothing here may open /dev/vsock.
    using root = new FakeRoot({});
    expect(readVsockFacts(root.files, { noVsock: value })).toMatchObject({
      switchedOff: expected,
      localCid: undefined,
    });
  });
});

test("the environment of this process, if no other is passed", () => {
  using root = new FakeRoot({});
  expect(readVsockFacts(root.files).switchedOff).toBe(process.env["VSOCKBOX_NO_VSOCK"]);
});

test("sockets in the named directories, and listeners", () => {
  using root = new FakeRoot({
    "/proc/net/unix": "head\n0: 2 0 00010000 0001 01 41 /run/a.vsock\n",
    "/run/x": "",
  });
  const found = readNeighbours(root.files, { directories: [root.path("/run")] });
  expect(found.sockets).toEqual([]);
  expect([...found.listeners.keys()]).toEqual(["/run/a.vsock"]);
});
