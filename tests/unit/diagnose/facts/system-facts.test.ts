import { afterEach, describe, expect, test } from "bun:test";
import { readNeighbours, readVsockFacts } from "../../../../src/diagnose/facts/system-facts.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

const VARIABLE = "VSOCKBOX_NO_VSOCK";
const before = process.env[VARIABLE];
afterEach(() => {
  process.env[VARIABLE] = before;
});

describe("AF_VSOCK", () => {
  test("of another root: its files alone, without a system call", () => {
    using root = new FakeRoot({
      "/proc/sys/kernel/osrelease": "6.1.0\n",
      "/proc/modules": "vsock 1\n",
      "/proc/sys/net/vsock/ns_mode": "local\n",
    });
    expect(readVsockFacts(root.files, 7)).toMatchObject({
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
    process.env[VARIABLE] = value;
    using root = new FakeRoot({});
    expect(readVsockFacts(root.files).switchedOff).toBe(expected);
  });
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
