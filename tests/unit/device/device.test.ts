/** A device against guests, VMMs and host clients that do what nobody sane does. */
import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { closeDescriptor, shutdownWrite, writeDescriptor } from "../../../src/ffi/socket.ts";
import { encodeRequest, encodeVringState } from "../../../src/protocols/vhost-user/encode.ts";
import { VM_DEFAULTS } from "../../../src/device/config/vm-config.ts";
import {
  Op,
  PacketType,
  RecordFlag,
  ShutdownFlag,
} from "../../../src/protocols/virtio-vsock/packet.ts";
import { acceptFrom, LocalDevice, openDescriptors, readAll } from "../../support/local-device.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { RX, RawVmm, TX } from "../../support/raw-vmm.ts";

const PORT = 5000;

test("connections that come and go while the guest reads no packets are not kept", () => {
  using local = new LocalDevice();
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  for (let count = 0; count < 3000; count++) {
    driver.send({ op: Op.Request, srcPort: count, dstPort: PORT });
    driver.send({ op: Op.Rst, srcPort: count, dstPort: PORT });
    local.turn();
    closeDescriptor(acceptFrom(listener) ?? -1);
  }
  expect(local.device.muxer.count).toBe(0);
  expect(local.device.muxer.queuedCount).toBe(0);
  driver.guest.close();
});

test("a guest that connects again before it has the RST is counted once", () => {
  using local = new LocalDevice();
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  for (let count = 0; count < VM_DEFAULTS.maxConnections + 10; count++) {
    driver.send({ op: Op.Request, srcPort: 1, dstPort: PORT });
    driver.send({ op: 99, srcPort: 1, dstPort: PORT });
    local.turn();
    closeDescriptor(acceptFrom(listener) ?? -1);
  }
  expect(local.device.muxer.count).toBeLessThanOrEqual(1);
  driver.send({ op: Op.Request, srcPort: 1, dstPort: PORT });
  driver.post();
  local.turn();
  // The last one only: an RST of one before it would be the end of it.
  expect(driver.receive()?.header.op).toBe(Op.Response);
  expect(driver.receive()).toBeUndefined();
  driver.guest.close();
});

test("a port whose socket's path is too long is refused like any other", () => {
  using scratch = new ScratchDirectory();
  const udsPath = scratch.file("u".repeat(102 - scratch.path.length));
  using local = new LocalDevice({ udsPath });
  const driver = local.startGuest();
  driver.post();
  const before = openDescriptors();
  driver.send({ op: Op.Request, srcPort: 1, dstPort: 2 ** 32 - 2 });
  local.turn();
  expect(driver.receive()?.header.op).toBe(Op.Rst);
  expect(driver.guest.vmm.isGone).toBe(false);
  expect(openDescriptors()).toBe(before);
  driver.guest.close();
});

test("a VMM that never stops sending does not block the others", () => {
  using local = new LocalDevice();
  const vmm = local.connectVmm();
  const request = encodeRequest("GET_FEATURES");
  const many = Buffer.concat(Array.from({ length: 5000 }, () => request));
  expect(vmm.sendRaw(many)).toBe(many.length);
  const rounds: number[] = [];
  local.loop.eachRound(() => rounds.push(rounds.length));
  local.turn();
  expect(rounds.length).toBeGreaterThan(10);
  expect(vmm.isGone).toBe(false);
  vmm.close();
});

test.each([
  ["no room for a byte", [[44, 2]]],
  ["no room for a header", [[20, 2]]],
])("a buffer for packets with %s is the end of the device, not of its connections", (_, parts) => {
  using local = new LocalDevice();
  const driver = local.startGuest();
  const client = local.connectClient();
  writeDescriptor(client, Buffer.from("CONNECT 5000\nhello"));
  const ring = driver.guest.rings[RX];
  for (const [index, [length = 0, flags = 0]] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const address = driver.guest.data + index * 8192;
    ring.describe(index, { address, length, flags: flags | (isLast ? 0 : 1), next: index + 1 });
  }
  ring.offer(0);
  driver.guest.kick(RX);
  local.turn();
  expect(driver.guest.vmm.isGone).toBe(true);
  expect(local.log.at(-1)).toContain("is too short for a packet");
  expect(readAll(client)).toBeUndefined();
  closeDescriptor(client);
  driver.guest.close();
});

test("a client that goes in the middle of its line is not waited for", () => {
  using local = new LocalDevice();
  const before = openDescriptors();
  const clients = Array.from("CONNECT 500", (_, index) => {
    const client = local.connectClient();
    if (index > 0) writeDescriptor(client, Buffer.from("CONNECT 500".slice(0, index)));
    return client;
  });
  local.turn();
  for (const client of clients) closeDescriptor(client);
  local.turn();
  expect(openDescriptors()).toBe(before);
});

test("a client that is slow to read loses nothing when both sides have ended", () => {
  using local = new LocalDevice();
  const driver = local.startGuest();
  driver.post();
  const client = local.connectClient();
  writeDescriptor(client, Buffer.from("CONNECT 5000\n"));
  shutdownWrite(client);
  local.turn();
  const dstPort = driver.receive()?.header.srcPort ?? 0;
  const ports = { srcPort: 5000, dstPort };
  driver.send({ op: Op.Response, ...ports });
  const payload = new Uint8Array(4096).fill(7);
  let sent = 0;
  // Until the client's socket is full, and something waits in the device.
  for (let last = 0; last < 60_000;) {
    driver.send({ op: Op.Rw, ...ports, payload });
    sent += payload.length;
    local.turn();
    [last = 0] = [...local.device.muxer].map(({ vsock }) => vsock.waiting);
  }
  driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Send, ...ports });
  local.turn();
  expect(local.device.muxer.count).toBe(1);
  // Long after the last words.
  local.device.muxer.onTime(performance.now() + 60_000);
  local.turn();
  let got = "";
  for (let chunk = readAll(client); chunk !== undefined && chunk.length > 0;) {
    got += chunk.toString("latin1");
    local.turn();
    chunk = readAll(client);
  }
  expect(got.length - got.indexOf("\n") - 1).toBe(sent);
  closeDescriptor(client);
  driver.guest.close();
});

describe("packets of the guest just before its queues stop", () => {
  const endings: [string, (vmm: RawVmm) => void][] = [
    ["the VMM disconnects", (vmm) => vmm.close()],
    ["the ring is disabled", (vmm) => vmm.post("SET_VRING_ENABLE", encodeVringState(TX, 0))],
    ["the ring is stopped", (vmm) => vmm.post("GET_VRING_BASE", encodeVringState(TX, 0))],
  ];
  test.each(endings)("arrives if %s", (_, end) => {
    using local = new LocalDevice();
    const listener = local.listen(PORT);
    const driver = local.startGuest();
    driver.post();
    driver.send({ op: Op.Request, srcPort: 1, dstPort: PORT });
    local.turn();
    const service = acceptFrom(listener) ?? -1;
    // The device hears of the end and of the packets in one round, and looks at the rings last.
    for (const text of ["last ", "words"]) {
      driver.send({ op: Op.Rw, srcPort: 1, dstPort: PORT, payload: Buffer.from(text) });
    }
    end(driver.guest.vmm);
    local.turn();
    expect(readAll(service)?.toString()).toBe("last words");
    closeDescriptor(service);
    driver.guest.close();
  });
});

test("a VMM that connects while its predecessor disconnects is accepted", () => {
  using local = new LocalDevice();
  const first = local.connectVmm();
  const second = new RawVmm(local.socket, local.turn);
  first.close();
  // The device hears of both in one round, of the second one first.
  expect(second.ask("GET_FEATURES")).toHaveLength(8);
  second.close();
});

test.each([
  ["without an end", 0],
  ["of one byte each", RecordFlag.EndOfMessage],
])("records %s use no more memory than the guest's credit", (_, flags) => {
  using local = new LocalDevice();
  const listener = local.listen(PORT, true);
  const driver = local.startGuest();
  driver.post();
  const ports = { srcPort: 1, dstPort: PORT, type: PacketType.Seqpacket };
  driver.send({ op: Op.Request, ...ports });
  local.turn();
  const service = acceptFrom(listener) ?? -1;
  Bun.gc(true);
  const before = heapStats().objectCount;
  const payload = new Uint8Array(1);
  for (let count = 0; count < 60_000; count++) {
    driver.send({ op: Op.Rw, ...ports, payload, flags });
    if (count % 32 === 31) local.turn();
    while (driver.receive() !== undefined);
    driver.post();
  }
  local.turn();
  const [waiting = 0] = [...local.device.muxer].map(({ vsock }) => vsock.waiting);
  expect(waiting).toBeGreaterThan(50_000);
  Bun.gc(true);
  expect(heapStats().objectCount - before).toBeLessThan(10_000);
  closeDescriptor(service);
  driver.guest.close();
});

test("an incomplete record does not wait for a closed service", () => {
  using local = new LocalDevice();
  const listener = local.listen(PORT, true);
  const driver = local.startGuest();
  driver.post();
  const ports = { srcPort: 1, dstPort: PORT, type: PacketType.Seqpacket };
  driver.send({ op: Op.Request, ...ports });
  driver.send({ op: Op.Rw, ...ports, payload: new Uint8Array(100) });
  local.turn();
  closeDescriptor(acceptFrom(listener) ?? -1);
  local.turn();
  expect(local.device.muxer.count).toBe(1);
  local.device.muxer.onTime(performance.now() + 60_000);
  local.turn();
  expect(local.device.muxer.count).toBe(0);
  driver.guest.close();
});
