import { expect, test } from "bun:test";
import type { VmConfig } from "../../../../src/device/config/device-config.ts";
import type { VsockDevice } from "../../../../src/device/device.ts";
import { ObservedVm } from "../../../../src/device/observe/observed-vm.ts";
import type { PacketStream } from "../../../../src/device/observe/packet-stream.ts";
import type { PacketTap } from "../../../../src/device/vsock/packet-tap.ts";
import { openLog } from "../../../../src/process/service/log.ts";

/** A VM whose device notes its tap. */
function observed() {
  let tap: PacketTap | undefined;
  const device = { setTap: (other: PacketTap | undefined) => (tap = other) };
  const config = { socket: "/run/v.sock" } as VmConfig;
  const vm = new ObservedVm(config, device as unknown as VsockDevice, openLog());
  return { vm, hasTap: () => tap !== undefined };
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
