import { afterEach, describe, expect, test } from "bun:test";
import { ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Epoll, EPOLLET, EPOLLIN } from "../../../src/ffi/epoll.ts";
import { adoptEvent, clearEvent, openEvent, signalEvent } from "../../../src/ffi/eventfd.ts";
import { IoVector } from "../../../src/ffi/iovec.ts";
import { libc, ptr } from "../../../src/ffi/libc.ts";
import { mapPrivate, mapShared, type SharedMapping } from "../../../src/ffi/mmap.ts";
import { closeDescriptor, openPipe, setNonBlocking } from "../../../src/ffi/socket.ts";
import { MemoryTable, PieceList } from "../../../src/device/vhost-user/memory-table.ts";
import { Chain, Virtqueue } from "../../../src/device/vhost-user/virtqueue.ts";
import type { DriverTask } from "../../fixtures/ring-driver.ts";
import { MFD_ALLOW_SEALING, openMemory } from "../../support/memfd.ts";
import { DriverRing } from "../../support/vhost.ts";

const EAGAIN = 11;
const EFAULT = 14;
const MIB = 2 ** 20;

const open: number[] = [];
const mappings: SharedMapping[] = [];
const own = (fd: number) => {
  open.push(fd);
  return fd;
};
afterEach(() => {
  for (const mapping of mappings.splice(0)) mapping.unmap();
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

function memory(size: number, flags = MFD_ALLOW_SEALING): number {
  return own(openMemory(size, flags));
}

function map(fd: number, offset: number, size: number): SharedMapping {
  const mapping = mapShared(fd, offset, size);
  mappings.push(mapping);
  return mapping;
}

describe("mapShared", () => {
  test("shows the same memory twice, at any offset", () => {
    const fd = memory(MIB);
    const whole = map(fd, 0, MIB);
    const part = map(fd, 0xc_0000, 0x1_0000);
    const odd = map(fd, 0xc_0010, 16);
    whole.view(0xc_0010, 1)[0] = 42;
    expect(part.view(16, 1)[0]).toBe(42);
    expect(odd.view(0, 1)[0]).toBe(42);
    odd.view(15, 1)[0] = 7;
    expect(whole.view(0xc_001f, 1)[0]).toBe(7);
    closeDescriptor(open.pop() ?? -1);
    expect(whole.view(MIB - 1, 1)[0]).toBe(0);
  });

  test("seals a memfd, so that it cannot shrink", () => {
    const fd = memory(MIB);
    expect(map(fd, 0, MIB).isSealed).toBe(true);
    expect(() => ftruncateSync(fd, 0)).toThrow("EPERM");
    expect(map(fd, 0, MIB).isSealed).toBe(true);
    expect(map(memory(MIB, 0), 0, MIB).isSealed).toBe(false);
  });

  test("accepts a file as well, without a seal", () => {
    const path = join(tmpdir(), `vsockbox-map-${process.pid}`);
    const fd = own(openSync(path, "w+"));
    rmSync(path);
    writeSync(fd, "memory");
    const mapping = map(fd, 0, 6);
    expect(Buffer.from(mapping.view(0, 6)).toString()).toBe("memory");
    expect(mapping.isSealed).toBe(false);
  });

  test("refuses what has not all of the bytes", () => {
    const fd = memory(MIB);
    expect(() => mapShared(fd, 0, MIB + 1)).toThrow("do not fit in a file of 1048576 bytes");
    expect(() => mapShared(fd, MIB, 1)).toThrow("do not fit");
    expect(() => mapShared(fd, 2 ** 53 - 1, 1)).toThrow("map memory");
    expect(() => mapShared(fd, 0, 0)).toThrow("map memory");
    expect(() => mapShared(fd, -1, 1)).toThrow("map memory");
    const { read, write } = openPipe();
    own(read);
    own(write);
    expect(() => mapShared(read, 0, 1)).toThrow("neither a memfd nor a file");
    expect(() => mapShared(999_999, 0, 1)).toThrow("not open");
    const readOnly = own(openSync(import.meta.path, "r"));
    expect(() => mapShared(readOnly, 0, 1)).toThrow("EACCES");
  });

  test("returns no view of memory that is not mapped", () => {
    const mapping = map(memory(MIB), 0, MIB);
    expect(() => mapping.view(MIB, 1)).toThrow("1 bytes at 1048576 of 1048576");
    expect(() => mapping.view(-1, 1)).toThrow("bytes at -1");
    mapping.unmap();
    mapping.unmap();
    expect(() => mapping.view(0, 1)).toThrow("it is unmapped");
  });
});

describe("eventfd and epoll", () => {
  test("wake, once for many signals", () => {
    const epoll = new Epoll(4);
    const event = own(openEvent());
    epoll.add(event, EPOLLIN, 12_345);
    expect(epoll.wait(0)).toBe(0);
    expect(clearEvent(event)).toBe(true);
    for (let count = 0; count < 10; count++) expect(signalEvent(event)).toBe(0);
    expect(epoll.wait(1000)).toBe(1);
    expect(epoll.token(0)).toBe(12_345);
    expect(epoll.events(0)).toBe(EPOLLIN);
    expect(clearEvent(event)).toBe(true);
    expect(epoll.wait(0)).toBe(0);
    epoll.modify(event, EPOLLIN | EPOLLET);
    signalEvent(event);
    expect(epoll.wait(0)).toBe(1);
    expect(epoll.token(0)).toBe(event);
    expect(epoll.wait(0)).toBe(0);
    epoll.remove(event);
    epoll.remove(event);
    signalEvent(event);
    expect(epoll.wait(0)).toBe(0);
    epoll.close();
  });

  test("accepts a VMM's eventfd, or a pipe in its place, and nothing else", () => {
    const event = own(libc().eventfd(0, 0));
    adoptEvent(event);
    expect(clearEvent(event)).toBe(true);
    const { read, write } = openPipe();
    own(read);
    adoptEvent(read);
    adoptEvent(write);
    expect(signalEvent(write)).toBe(0);
    expect(clearEvent(read)).toBe(true);
    expect(clearEvent(read)).toBe(true);
    closeDescriptor(write);
    expect(clearEvent(read)).toBe(false);
    const shared = memory(4096);
    expect(() => adoptEvent(shared)).toThrow(`descriptor ${shared} as eventfd: it is /memfd:test`);
    expect(() => adoptEvent(999_999)).toThrow("use descriptor 999999 as eventfd");
  });

  test("return many at once, up to the size of the list", () => {
    const epoll = new Epoll(3);
    const events = Array.from({ length: 5 }, () => own(openEvent()));
    for (const event of events) {
      epoll.add(event, EPOLLIN);
      signalEvent(event);
    }
    const seen = new Set<number>();
    for (let round = 0; round < 5; round++) {
      const count = epoll.wait(0);
      expect(count).toBe(3);
      for (let index = 0; index < count; index++) seen.add(epoll.token(index));
    }
    expect([...seen].toSorted()).toEqual(events.toSorted());
    expect(() => epoll.add(events[0] ?? -1, EPOLLIN)).toThrow("EEXIST");
    epoll.close();
    expect(() => epoll.wait(0)).toThrow("EBADF");
  });
});

describe("IoVector", () => {
  test("writes and reads pieces of memory by their address", () => {
    const { read, write } = openPipe();
    own(read);
    own(write);
    setNonBlocking(read);
    const { address, view } = map(memory(MIB), 0, MIB);
    const bytes = view(0, MIB);
    const vector = new IoVector(2);
    expect(vector.push(address, 3)).toBe(true);
    expect(vector.push(address + 3, 2)).toBe(true);
    expect(vector.count).toBe(1);
    expect(vector.push(address + 1000, 0)).toBe(true);
    expect(vector.push(address + 1000, 4)).toBe(true);
    expect(vector.push(address + 2000, 4)).toBe(false);
    expect(vector.bytes).toBe(9);
    bytes.set(Buffer.from("hello"), 0);
    bytes.set(Buffer.from(" you"), 1000);
    expect(vector.writev(write)).toBe(9);
    vector.clear();
    vector.push(address + 5000, 6);
    vector.push(address + 6000, 100);
    expect(vector.readv(read)).toBe(9);
    expect(Buffer.from(bytes.subarray(5000, 5006)).toString()).toBe("hello ");
    expect(Buffer.from(bytes.subarray(6000, 6003)).toString()).toBe("you");
    expect(vector.readv(read)).toBe(-EAGAIN);
  });

  test("fails as the kernel does for memory that is not mapped", () => {
    const { read, write } = openPipe();
    own(read);
    own(write);
    const vector = new IoVector();
    vector.push(2 ** 46, 10);
    expect(vector.writev(write)).toBe(-EFAULT);
  });
});

test("a ring in shared memory moves bytes from one side to the other", () => {
  const size = 4 * MIB;
  const fd = memory(size);
  const guest = map(fd, 0, size).view(0, size);
  const ours = map(fd, 0, size);
  const user = 0x7f00_0000_0000;
  const table = new MemoryTable();
  table.replace([
    {
      guestAddress: 0,
      size,
      userAddress: user,
      hostAddress: ours.address,
      view: (offset, length) => ours.view(offset, length),
    },
  ]);
  const driver = new DriverRing(new DataView(guest.buffer, guest.byteOffset), 8);
  const { descriptors, available, used } = driver.addresses;
  const ring = new Virtqueue(table, {
    name: "ring",
    entries: 8,
    addresses: { descriptors: user, available: user + available, used: user + used },
    base: 0,
  });
  expect(descriptors).toBe(0);
  const { read, write } = openPipe();
  own(read);
  own(write);
  const chain = new Chain(8);
  const vector = new IoVector();
  for (let round = 0; round < 1000; round++) {
    guest[MIB + round] = round;
    driver.describe(0, { address: MIB + round, length: 1, flags: 1, next: 1 });
    driver.describe(1, { address: 2 * MIB + round, length: 64, flags: 2 });
    driver.offer(0);
    if (!ring.pop(chain)) throw new Error("no chain");
    vector.clear();
    chain.readable.pushTo(vector, 0, chain.readable.bytes);
    expect(vector.writev(write)).toBe(1);
    vector.clear();
    chain.writable.pushTo(vector, 0, chain.writable.bytes);
    expect(vector.readv(read)).toBe(1);
    ring.addUsed(chain.head, 1);
    expect(ring.shouldSignal()).toBe(true);
    expect(driver.used(round)).toEqual({ head: 0, length: 1 });
    expect(guest[2 * MIB + round]).toBe(round & 0xff);
  }
  const header = new PieceList(1);
  table.translate(2 * MIB + 40, 1, header);
  const byte = new Uint8Array(1);
  expect(table.read(header, 0, byte)).toBe(1);
  expect(byte[0]).toBe(40);
});

test("a driver in another thread sees all in order, and is seen so", async () => {
  const size = MIB;
  const entries = 64;
  const fd = memory(size);
  const ours = map(fd, 0, size);
  const table = new MemoryTable();
  const view = (offset: number, length: number) => ours.view(offset, length);
  table.replace([{ guestAddress: 0, size, userAddress: 0, hostAddress: ours.address, view }]);
  const { addresses } = new DriverRing(new DataView(new ArrayBuffer(size)), entries);
  const ring = new Virtqueue(table, { name: "ring", entries, addresses, base: 0 });
  const chain = new Chain(entries);
  const worker = new Worker(new URL("../../fixtures/ring-driver.ts", import.meta.url).href);
  const done = new Promise<unknown>((resolve, reject) => {
    worker.addEventListener("message", ({ data }: MessageEvent<unknown>) => resolve(data));
    worker.addEventListener("error", reject);
  });
  const chains = 200_000;
  const task: DriverTask = { fd, size, entries, chains, data: size / 2 };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
  worker.postMessage(task);
  const numbers = new Uint8Array(8);
  const [read, answer] = [new DataView(numbers.buffer), new Uint8Array(4)];
  const written = new DataView(answer.buffer);
  const deadline = performance.now() + 20_000;
  let wrong = 0;
  let count = 0;
  while (count < chains && performance.now() < deadline) {
    while (ring.pop(chain)) {
      table.read(chain.readable, 0, numbers);
      const isRight = read.getUint32(0, true) === count && read.getInt32(4, true) === ~count;
      if (!isRight) wrong++;
      written.setUint32(0, count * 2, true);
      table.write(chain.writable, 0, answer);
      ring.addUsed(chain.head, 4);
      if (count % 3 === 0) ring.publish();
      count++;
    }
    ring.publish();
  }
  expect({ count, wrong }).toEqual({ count: chains, wrong: 0 });
  expect(await done).toEqual({ served: chains, wrong: 0 });
  worker.terminate();
}, 60_000);

describe("private memory", () => {
  test("is zero, of any size, and ends when it is unmapped", () => {
    for (const size of [1, 4096, 100_000, 3 * MIB]) {
      const mapping = mapPrivate(size);
      expect(mapping.bytes).toHaveLength(size);
      expect(mapping.bytes.every((byte) => byte === 0)).toBe(true);
      mapping.bytes.fill(7);
      expect(mapping.bytes.every((byte) => byte === 7)).toBe(true);
      const address = Number(ptr(mapping.bytes));
      const isMapped = () => {
        const vector = new IoVector();
        vector.push(address, 1);
        const pipe = openPipe();
        const written = vector.writev(pipe.write);
        closeDescriptor(pipe.read);
        closeDescriptor(pipe.write);
        return written === 1;
      };
      expect(isMapped()).toBe(true);
      mapping.unmap();
      mapping.unmap();
      expect(isMapped()).toBe(false);
    }
  });

  test("is not mapped beyond what a process can have", () => {
    expect(() => mapPrivate(2 ** 48)).toThrow(expect.objectContaining({ code: "IO" }) as Error);
  });
});
