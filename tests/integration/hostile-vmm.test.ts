/** The compiled device against VMMs that keep to no rule. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ftruncateSync, openSync } from "node:fs";
import { openEvent } from "../../src/ffi/eventfd.ts";
import { libc } from "../../src/ffi/libc.ts";
import { closeDescriptor, openPipe, writeDescriptor } from "../../src/ffi/socket.ts";
import {
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringState,
} from "../../src/protocols/vhost-user/encode.ts";
import { Request, type RequestName } from "../../src/protocols/vhost-user/wire.ts";
import { Op } from "../../src/protocols/virtio-vsock/packet.ts";
import { Random } from "../fuzz/random.ts";
import { payloadOf } from "../fuzz/vhost-message-targets.ts";
import { awaitEnd, LiveDevice } from "../support/live-device.ts";
import { openMemory } from "../support/memfd.ts";
import { connectUnix, RX, TestGuest, RawVmm, TX, USER_BASE } from "../support/raw-vmm.ts";

let device: LiveDevice;
beforeAll(async () => {
  device = await LiveDevice.start();
});
afterAll(() => device?.[Symbol.asyncDispose]());

const SEED = 5;

/** Keeps what it is told instead of sending it. */
class Recorder extends RawVmm {
  readonly messages: { bytes: Uint8Array; fds: readonly number[] }[] = [];

  override post(name: RequestName, payload?: Uint8Array, fds: readonly number[] = []): void {
    this.messages.push({ bytes: encodeRequest(name, payload), fds });
  }

  override ask(name: RequestName, payload?: Uint8Array): undefined {
    this.post(name, payload);
  }
}

/** A connection that is refused: the device has its VMM. */
function recorder(): Recorder {
  return new Recorder(device.goodSocket);
}

/** Sends messages and waits until the device has closed the connection. */
function isRefused(act: (vmm: RawVmm) => void): void {
  const vmm = new RawVmm(device.socket);
  act(vmm);
  vmm.awaitEnd();
  vmm.close();
}

function bytesOf(request: number, flags: number, size: number, payload = 0): Uint8Array {
  const bytes = new Uint8Array(12 + payload);
  new Uint32Array(bytes.buffer, 0, 3).set([request, flags, size]);
  return bytes;
}

test("a start that is cut anywhere", async () => {
  const vmm = recorder();
  const guest = new TestGuest(vmm);
  guest.start();
  let cuts = 0;
  for (const [index, { bytes, fds }] of vmm.messages.entries()) {
    for (let length = 0; length < bytes.length; length += length < 13 ? 1 : 7) {
      const cut = new RawVmm(device.socket);
      for (const before of vmm.messages.slice(0, index)) cut.sendRaw(before.bytes, before.fds);
      if (length > 0) cut.sendRaw(bytes.subarray(0, length), fds);
      cut.close();
      cuts++;
      if (cuts % 20 === 0) device.servesOther();
    }
  }
  guest.close();
  expect(cuts).toBeGreaterThan(200);
  await device.isAsBefore();
});

test("garbage", async () => {
  const random = new Random();
  for (let index = 0; index < 100; index++) {
    random.begin(SEED, index);
    isRefused((vmm) => {
      // The first message is complete for certain: it would be waited for otherwise.
      const bytes = Uint8Array.from({ length: 5000 }, () => random.next());
      bytes[4] = 1;
      vmm.sendRaw(bytes);
    });
    if (index % 20 === 0) device.servesOther();
  }
  await device.isAsBefore();
});

test.each([
  ["an oversized payload", bytesOf(Request.SET_FEATURES, 1, 4097)],
  ["the largest payload of all", bytesOf(Request.SET_FEATURES, 1, 2 ** 32 - 1)],
  ["another version", bytesOf(Request.GET_FEATURES, 2, 0)],
  ["a reply to nothing", bytesOf(Request.GET_FEATURES, 5, 0)],
  ["unknown flags", bytesOf(Request.GET_FEATURES, 0x101, 0)],
  ["an unknown request", bytesOf(4711, 1, 0)],
  ["a payload where none belongs", bytesOf(Request.GET_FEATURES, 1, 8, 8)],
  ["no payload where one belongs", bytesOf(Request.SET_MEM_TABLE, 1, 0)],
  ["a ring that is none", encodeRequest("SET_VRING_NUM", encodeVringState(77, 64))],
  ["a ring of a strange size", encodeRequest("SET_VRING_NUM", encodeVringState(0, 65))],
])("%s", async (_, bytes) => {
  isRefused((vmm) => vmm.sendRaw(bytes));
  await device.isAsBefore();
});

test.each([1, 9, 100, 253])("%d descriptors with a message that has none", async (count) => {
  const fds = Array.from({ length: count }, () => openEvent());
  isRefused((vmm) => vmm.post("GET_FEATURES", undefined, fds));
  // Before the rest of its header comes.
  const vmm = new RawVmm(device.socket);
  vmm.sendRaw(new Uint8Array(1), fds);
  vmm.close();
  for (const fd of fds) closeDescriptor(fd);
  await device.isAsBefore();
});

/** A descriptor that epoll_ctl(2) takes, but that is nobody's kick. */
const openEpoll = () => libc().epoll_create1(0);

const KINDS: Record<string, () => number> = {
  "a directory": () => openSync(device.scratch.path, "r"),
  "/dev/null": () => openSync("/dev/null", "r+"),
  "a file to be read": () => openSync(import.meta.path, "r"),
  "a file": () => openSync(device.scratch.file("file"), "w+"),
  "an epoll": openEpoll,
  "a memfd that is too small": () => openMemory(4096),
  "a pipe": () => {
    const { read, write } = openPipe();
    closeDescriptor(write);
    return read;
  },
  "an eventfd": () => openEvent(),
};

describe("a descriptor of another kind", () => {
  const asMemory = Object.keys(KINDS);
  test.each(asMemory)("as memory: %s", async (kind) => {
    const fd = KINDS[kind]?.() ?? -1;
    const region = { guestAddress: 0, size: 65_536, userAddress: USER_BASE, mmapOffset: 0 };
    isRefused((vmm) => vmm.post("SET_MEM_TABLE", encodeRegions([region]), [fd]));
    closeDescriptor(fd);
    await device.isAsBefore();
  });

  const asEvent = asMemory.filter((kind) => kind !== "a pipe" && kind !== "an eventfd");
  test.each(asEvent)("as kick and call: %s", async (kind) => {
    for (const name of ["SET_VRING_KICK", "SET_VRING_CALL"] as const) {
      const guest = new TestGuest(new RawVmm(device.socket));
      guest.start();
      const fd = KINDS[kind]?.() ?? -1;
      guest.vmm.post(name, encodeRingDescriptor(RX), [fd]);
      guest.vmm.awaitEnd();
      closeDescriptor(fd);
      guest.close();
    }
    await device.isAsBefore();
  });

  test("as kick: a pipe without a writer", async () => {
    const guest = device.boot();
    const fd = KINDS["a pipe"]?.() ?? -1;
    guest.guest.vmm.post("SET_VRING_KICK", encodeRingDescriptor(TX), [fd]);
    guest.guest.vmm.ask("GET_QUEUE_NUM");
    closeDescriptor(fd);
    // Its other ring is looked after still.
    guest.driver.send({ op: Op.Request, srcPort: 1, dstPort: 1 });
    guest.guest.kick(RX);
    expect(guest.next().header.op).toBe(Op.Rst);
    guest.guest.close();
    await device.isAsBefore();
  });
});

test("requests in any order, with descriptors of any kind", async () => {
  const names = Object.keys(Request) as RequestName[];
  const random = new Random();
  for (let index = 0; index < 400; index++) {
    random.begin(SEED, index);
    const vmm = new RawVmm(device.socket);
    const guest = new TestGuest(vmm);
    if (random.below(3) > 0) guest.start();
    for (let count = random.below(12); count > 0; count--) {
      const name = random.pick(names);
      const [payload, wanted] = payloadOf(name, random);
      const fds = [guest.memoryFd, ...guest.kicks, ...guest.calls];
      const given = Array.from({ length: wanted }, () => random.pick(fds));
      vmm.post(name, payload, given);
      if (random.below(4) === 0) guest.kick(TX);
    }
    guest.close();
    if (index % 20 === 0) device.servesOther();
  }
  await device.isAsBefore();
});

describe("while rings run", () => {
  test("memory is replaced by the same, and by other memory", async () => {
    const guest = device.boot();
    for (let count = 0; count < 20; count++) {
      guest.guest.tellMemory();
      device.echo(guest, device.udsPath);
    }
    const region = { guestAddress: 0, size: 65_536, userAddress: 0, mmapOffset: 0 };
    const { vmm, memoryFd } = guest.guest;
    vmm.post("SET_MEM_TABLE", encodeRegions([region]), [memoryFd]);
    guest.guest.kick(TX);
    vmm.awaitEnd();
    guest.guest.close();
    await device.isAsBefore();
  });

  test("all memory is removed", async () => {
    const guest = device.boot();
    guest.guest.vmm.post("SET_MEM_TABLE", encodeRegions([]));
    guest.guest.kick(TX);
    guest.guest.vmm.awaitEnd();
    guest.guest.close();
    await device.isAsBefore();
  });

  test("a ring is stopped, and started again", async () => {
    const guest = device.boot();
    const { vmm, kicks } = guest.guest;
    for (let count = 0; count < 5; count++) {
      device.echo(guest, device.udsPath);
      for (const ring of [RX, TX] as const) {
        const state = vmm.ask("GET_VRING_BASE", encodeVringState(ring, 0)) ?? new Uint8Array(8);
        const base = new DataView(state.buffer).getUint32(4, true);
        expect(base).toBeGreaterThan(0);
        vmm.post("SET_VRING_BASE", encodeVringState(ring, base));
        vmm.post("SET_VRING_KICK", encodeRingDescriptor(ring), [kicks[ring]]);
      }
    }
    guest.guest.close();
    await device.isAsBefore();
  });

  test("other features, and another size", async () => {
    for (const [name, payload] of [
      ["SET_FEATURES", encodeU64(0n)],
      ["SET_VRING_NUM", encodeVringState(TX, 32)],
    ] as const) {
      const guest = device.boot();
      guest.guest.vmm.post(name, payload);
      guest.guest.vmm.awaitEnd();
      guest.guest.close();
    }
    await device.isAsBefore();
  });

  test("a ring that is enabled without addresses waits for them", async () => {
    const vmm = new RawVmm(device.socket);
    const guest = new TestGuest(vmm);
    for (const ring of [RX, TX]) vmm.post("SET_VRING_ENABLE", encodeVringState(ring, 1));
    expect(vmm.ask("GET_FEATURES")).toHaveLength(8);
    guest.close();
    await device.isAsBefore();
  });
});

test("a VMM that never reads its answers", async () => {
  const vmm = new RawVmm(device.socket);
  const request = encodeRequest("GET_FEATURES");
  for (let count = 0; count < 200_000 && vmm.sendRaw(request) > 0; count++);
  device.servesOther();
  vmm.close();
  await device.isAsBefore();
});

test("memory that could shrink is sealed before it is used", async () => {
  const guest = device.boot();
  expect(() => ftruncateSync(guest.guest.memoryFd, 0)).toThrow("EPERM");
  device.echo(guest, device.udsPath);
  guest.guest.close();
  await device.isAsBefore();
});

test("a log that is not read does not stop the device", async () => {
  // Nothing of this waits for what the device says; each connection is worth a line or two.
  for (let count = 0; count < 2000; count++) isRefused((vmm) => vmm.post("SET_LOG_BASE"));
  device.servesOther();
  await device.isAsBefore();
  isRefused((vmm) => vmm.post("SET_LOG_BASE"));
  await device.running.says("log lines were dropped: nothing read standard error");
});

test("a second VMM is refused, and the first one is served", async () => {
  const guest = device.boot();
  for (let count = 0; count < 50; count++) isRefused(() => {});
  device.echo(guest, device.udsPath);
  guest.guest.close();
  await device.isAsBefore();
});

test("a VMM that disconnects ends the connections of its clients", async () => {
  const guest = device.boot();
  const clients = Array.from({ length: 20 }, () => {
    const client = connectUnix(device.udsPath);
    writeDescriptor(client, Buffer.from("CONNECT 9\ndata that nobody reads"));
    return client;
  });
  for (const _ of clients) expect(guest.next().header.op).toBe(Op.Request);
  guest.guest.close();
  for (const client of clients) {
    awaitEnd(client);
    closeDescriptor(client);
  }
  await device.isAsBefore();
});
