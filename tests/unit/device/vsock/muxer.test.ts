/** Connections of one VM: their ports, their number and what is counted of them. */
import { expect, test } from "bun:test";
import { closeDescriptor, writeDescriptor } from "../../../../src/ffi/socket.ts";
import { Op, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { acceptFrom, LocalDevice, readAll } from "../../../support/local-device.ts";
import type { VsockDriver } from "../../../support/vsock-driver.ts";

const PORT = 5000;

/** Operations of all packets that the guest has been sent. */
function received(driver: VsockDriver): number[] {
  const found: number[] = [];
  for (let next = driver.receive(); next !== undefined; next = driver.receive()) {
    found.push(next.header.op);
  }
  return found;
}

/** A client of the host that has asked for a port of the guest. */
function connect(local: LocalDevice, text = `CONNECT ${PORT}\n`): number {
  const client = local.connectClient();
  writeDescriptor(client, Buffer.from(text));
  local.turn();
  return client;
}

test("an RST is a refusal only before the answer to a request of the host", () => {
  using local = new LocalDevice();
  const { statistics } = local.device;
  const driver = local.startGuest();
  driver.post();
  const refused = connect(local);
  driver.send({ op: Op.Rst, srcPort: PORT, dstPort: driver.receive()?.header.srcPort ?? 0 });
  local.turn();
  expect(statistics).toMatchObject({ opened: 1, openedByGuest: 0, refusedByGuest: 1 });
  const listener = local.listen(PORT);
  driver.send({ op: Op.Request, srcPort: 1, dstPort: PORT });
  local.turn();
  expect(received(driver)).toEqual([Op.Response]);
  const service = acceptFrom(listener) ?? -1;
  driver.send({ op: Op.Rst, srcPort: 1, dstPort: PORT });
  local.turn();
  expect(statistics).toMatchObject({ opened: 2, openedByGuest: 1 });
  expect(statistics).toMatchObject({ refusedByGuest: 1, resetsFromGuest: 2 });
  for (const fd of [refused, service]) closeDescriptor(fd);
  driver.guest.close();
});

test("a request of an unknown type, or beyond the limit, is answered with an RST and counted", () => {
  using local = new LocalDevice({ maxConnections: 2 });
  const { muxer, statistics } = local.device;
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  driver.post();
  driver.send({ op: Op.Request, srcPort: 1, dstPort: PORT, type: 9 });
  local.turn();
  expect(received(driver)).toEqual([Op.Rst]);
  expect([muxer.count, statistics.refused]).toEqual([0, 1]);
  for (const srcPort of [1, 2, 3]) driver.send({ op: Op.Request, srcPort, dstPort: PORT });
  local.turn();
  expect(received(driver).toSorted((a, b) => a - b)).toEqual([Op.Response, Op.Response, Op.Rst]);
  expect([muxer.count, statistics.refused]).toEqual([2, 2]);
  for (let count = 0; count < 2; count++) closeDescriptor(acceptFrom(listener) ?? -1);
  driver.guest.close();
});

test("every packet that the guest is sent is counted once, and one with nothing to send is not", () => {
  using local = new LocalDevice();
  const { statistics } = local.device;
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  driver.post();
  for (const srcPort of [1, 2]) driver.send({ op: Op.Request, srcPort, dstPort: PORT });
  driver.send({ op: Op.Rw, srcPort: 9, dstPort: 9 });
  local.turn();
  const services = [1, 2].map(() => acceptFrom(listener) ?? -1);
  for (const fd of services) writeDescriptor(fd, Buffer.from("hello"));
  local.turn();
  const ops = received(driver);
  expect(ops.filter((op) => op === Op.Rw)).toHaveLength(2);
  expect(statistics).toMatchObject({ packetsToGuest: ops.length, bytesToGuest: 10, resets: 1 });
  for (const fd of services) closeDescriptor(fd);
  driver.guest.close();
});

test("the end of a connection leaves others to the same port of the host as they are", () => {
  using local = new LocalDevice();
  const { muxer } = local.device;
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  driver.post();
  for (const srcPort of [1, 2]) driver.send({ op: Op.Request, srcPort, dstPort: PORT });
  local.turn();
  const [first = -1, second = -1] = [acceptFrom(listener), acceptFrom(listener)];
  driver.send({ op: Op.Rst, srcPort: 1, dstPort: PORT });
  driver.send({ op: Op.Rw, srcPort: 2, dstPort: PORT, payload: Buffer.from("still here") });
  local.turn();
  expect(muxer.count).toBe(1);
  expect(readAll(first)).toBeUndefined();
  expect(readAll(second)?.toString()).toBe("still here");
  driver.send({ op: Op.Rst, srcPort: 2, dstPort: PORT });
  local.turn();
  expect(muxer.count).toBe(0);
  for (const fd of [first, second]) closeDescriptor(fd);
  driver.guest.close();
});

test("a request of the host ends at its deadline, and not before", () => {
  using local = new LocalDevice({ connectTimeoutMs: 60_000 });
  const { muxer, statistics } = local.device;
  const driver = local.startGuest();
  const client = connect(local);
  const [connection] = muxer;
  const deadline = connection?.deadline ?? Number.NaN;
  muxer.onTime(deadline - 1);
  expect(statistics.connectTimeouts).toBe(0);
  muxer.onTime(deadline);
  expect([statistics.connectTimeouts, muxer.count]).toEqual([1, 0]);
  closeDescriptor(client);
  driver.guest.close();
});

test("data that waits for the VM's rate is sent once it may be, and not before", () => {
  // The first packet is a debt of hours.
  using local = new LocalDevice({ rateToGuest: 1, burst: 1 });
  const { muxer } = local.device;
  const driver = local.startGuest();
  driver.post();
  const client = connect(local);
  const dstPort = driver.receive()?.header.srcPort ?? 0;
  driver.send({ op: Op.Response, srcPort: PORT, dstPort, type: PacketType.Stream });
  local.turn();
  writeDescriptor(client, Buffer.alloc(4000));
  local.turn();
  expect(received(driver)).toEqual([Op.Rw]);
  writeDescriptor(client, Buffer.from("data"));
  local.turn();
  expect(muxer.holdsData).toBe(true);
  muxer.holdsData = true;
  expect(muxer.hasPending).toBe(false);
  expect(received(driver)).toEqual([]);
  muxer.holdsData = false;
  expect(muxer.hasPending).toBe(true);
  muxer.holdsData = false;
  expect(muxer.queuedCount).toBe(1);
  closeDescriptor(client);
  driver.guest.close();
});

test("a record of the host that needs several packets is counted packet by packet", () => {
  using local = new LocalDevice();
  const { statistics } = local.device;
  const listener = local.listen(PORT, true);
  const driver = local.startGuest();
  driver.post();
  const ports = { srcPort: 1, dstPort: PORT, type: PacketType.Seqpacket };
  driver.send({ op: Op.Request, ...ports });
  local.turn();
  expect(received(driver)).toEqual([Op.Response]);
  const service = acceptFrom(listener) ?? -1;
  const before = statistics.packetsToGuest;
  writeDescriptor(service, Buffer.alloc(20_000));
  local.turn();
  const ops = received(driver);
  expect(ops.length).toBeGreaterThan(1);
  expect(statistics.packetsToGuest - before).toBe(ops.length);
  expect(statistics.bytesToGuest).toBe(20_000);
  closeDescriptor(service);
  driver.guest.close();
});
