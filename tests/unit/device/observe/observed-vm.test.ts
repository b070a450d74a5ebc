import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { VmConfig } from "../../../../src/device/config/device-config.ts";
import type { VsockDevice } from "../../../../src/device/device.ts";
import { ObservedVm } from "../../../../src/device/observe/observed-vm.ts";
import type { PacketStream } from "../../../../src/device/observe/packet-stream.ts";
import type { PacketTap } from "../../../../src/device/vsock/packet-tap.ts";
import { passPacket } from "../../../support/passed-packet.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

/** A VM whose device notes its tap. */
function observed() {
  let tap: PacketTap | undefined;
  const device = { setTap: (other: PacketTap | undefined) => (tap = other) };
  const config = { socket: "/run/v.sock" } as VmConfig;
  const log: string[] = [];
  const write = (message: string) => void log.push(message);
  const vm = new ObservedVm(config, device as unknown as VsockDevice, {
    debug: write,
    info: write,
    warn: write,
  });
  const theTap = () => {
    if (tap === undefined) throw new Error("no tap");
    return tap;
  };
  return { vm, log, tap: theTap, hasTap: () => tap !== undefined };
}

/** Makes a stream lose packets, as one that is too slow does. */
const lose = (stream: PacketStream, lost: number) =>
  Object.defineProperty(stream, "lost", { value: lost });

test("each stream has the losses of its own, and the VM those of all, also of streams that have ended", () => {
  const { vm, hasTap } = observed();
  expect([vm.packetsLost, hasTap()]).toEqual([0, false]);
  const [slow, fast, nameless] = [
    vm.openStream(10, "a"),
    vm.openStream(10, "b"),
    vm.openStream(10),
  ];
  lose(slow, 7);
  lose(nameless, 100);
  expect([vm.lostByStream("a"), vm.lostByStream("b"), vm.lostByStream("c")]).toEqual([
    ...[7, 0, undefined],
  ]);
  expect(vm.packetsLost).toBe(107);
  slow.close();
  slow.close();
  expect([vm.lostByStream("a"), vm.packetsLost, hasTap()]).toEqual([undefined, 107, true]);
  for (const stream of [fast, nameless]) stream.close();
  expect([vm.packetsLost, hasTap()]).toEqual([107, false]);
});

test("a ninth stream is refused until another one ends", () => {
  const { vm } = observed();
  const streams = Array.from({ length: 8 }, (_, index) => vm.openStream(0, String(index)));
  const refused = expect.objectContaining({ code: "REFUSED" }) as Error;
  expect(() => vm.openStream(0, "8")).toThrow(refused);
  streams[3]?.close();
  vm.openStream(0, "8").close();
  for (const stream of streams) stream.close();
  expect(vm.lostByStream("0")).toBeUndefined();
});

describe("a capture of a VM", () => {
  let scratch: ScratchDirectory;
  beforeEach(() => {
    scratch = new ScratchDirectory();
  });
  afterEach(() => scratch[Symbol.dispose]());

  test("is the only one, and the error names its file", async () => {
    const { vm, hasTap } = observed();
    const file = scratch.file("x.pcap");
    expect(vm.startCapture({ file })).toMatchObject({ file, packets: 0, packets_lost: 0 });
    expect([vm.capture?.file, hasTap()]).toEqual([file, true]);
    const other = scratch.file("y.pcap");
    expect(() => vm.startCapture({ file: other })).toThrow(
      expect.objectContaining({
        ...{ code: "REFUSED", operation: "capture to", address: other },
        reason: `a capture to ${file} is running`,
      }) as Error,
    );
    expect(existsSync(other)).toBe(false);
    expect(await vm.endCapture()).toMatchObject({ file, packets: 0 });
    expect([vm.capture, hasTap(), await vm.endCapture()]).toEqual([undefined, false, undefined]);
    vm.startCapture({ file: other });
    await vm.endCapture();
    expect(existsSync(other)).toBe(true);
  });

  test("that cannot be created leaves the VM without one", () => {
    const { vm, hasTap } = observed();
    expect(() => vm.startCapture({ file: scratch.file("none/x.pcap") })).toThrow(
      expect.objectContaining({ code: "CANNOT_CREATE" }) as Error,
    );
    expect([vm.capture, hasTap()]).toEqual([undefined, false]);
  });

  test.each([
    [0, ""],
    [1, ", and 1 was lost"],
    [2, ", and 2 were lost"],
  ])("reports its packets and those that it has lost: %i", async (lost, text) => {
    const { vm, tap, log } = observed();
    const file = scratch.file("x.pcap");
    vm.startCapture({ file, payloadBytes: 60_000 });
    let passed = 0;
    // No turn of the runtime in between: nothing is written.
    while (vm.packetsLost < lost) {
      passPacket(tap(), 60_000);
      passed++;
    }
    await vm.endCapture();
    expect(log.at(-1)).toBe(`captured ${passed - lost} packets to ${file}${text}`);
    expect(vm.packetsLost).toBe(lost);
  });
});

test("a stream that is refused names the VM's socket and the limit", () => {
  const { vm } = observed();
  const streams = Array.from({ length: 8 }, () => vm.openStream(0));
  expect(() => vm.openStream(0)).toThrow(
    expect.objectContaining({
      ...{ operation: "send packets of", address: "/run/v.sock", reason: "8 streams are open" },
    }) as Error,
  );
  for (const stream of streams) stream.close();
});
