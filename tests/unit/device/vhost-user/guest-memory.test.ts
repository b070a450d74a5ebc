/** Regions of a guest as a VMM shares them: memfds, mapped and unmapped in this process. */
import { describe, expect, test } from "bun:test";
import { fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { GuestMemory } from "../../../../src/device/vhost-user/guest-memory.ts";
import { closeDescriptor } from "../../../../src/ffi/socket.ts";
import type { OfferedRegion } from "../../../../src/protocols/vhost-user/actions.ts";
import { openDescriptors } from "../../../support/local-device.ts";
import { openMemory } from "../../../support/memfd.ts";

const SIZE = 0x1_0000;
/** The VMM's address of guest address 0. */
const USER = 0x7f00_0000_0000;

/** A region with the inode of its memfd, by which its mapping is found. */
interface Shared extends OfferedRegion {
  inode: number;
}

/** A memfd offered as a region; the guest memory closes it. */
function share(guestAddress: number, change: Partial<OfferedRegion> = {}): Shared {
  const fd = change.fd ?? openMemory(SIZE);
  return {
    guestAddress,
    userAddress: USER + guestAddress,
    size: SIZE,
    mmapOffset: 0,
    fd,
    inode: fstatSync(fd).ino,
    ...change,
  };
}

/** Which of these are mapped in this process, as the kernel reports it. */
function mappedOf(...regions: Shared[]): boolean[] {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  const inodes = new Set(
    lines.filter((line) => line.includes("memfd:")).map((line) => Number(line.split(/\s+/)[4])),
  );
  return regions.map(({ inode }) => inodes.has(inode));
}

const addressesOf = ({ table }: GuestMemory) =>
  table.regions.map(({ guestAddress }) => guestAddress);

describe("a table of regions", () => {
  test("is mapped, and its descriptors are closed", () => {
    const memory = new GuestMemory();
    const before = openDescriptors();
    const regions = [share(0), share(0x10_0000)];
    memory.replace(regions);
    expect(openDescriptors()).toBe(before);
    expect(mappedOf(...regions)).toEqual([true, true]);
    expect(addressesOf(memory)).toEqual([0, 0x10_0000]);
    memory.replace([]);
  });

  test("shares the bytes of the file from the offset of the region on", () => {
    const memory = new GuestMemory();
    const fd = openMemory(2 * SIZE);
    const kept = openSync(`/proc/self/fd/${fd}`, "r");
    memory.replace([share(0, { fd, mmapOffset: 4096 })]);
    memory.table.viewAtUser(USER + 8, 3).set([7, 8, 9]);
    const bytes = new Uint8Array(5);
    expect(readSync(kept, bytes, { position: 4096 + 7 })).toBe(5);
    expect([...bytes]).toEqual([0, 7, 8, 9, 0]);
    memory.replace([]);
    closeDescriptor(kept);
  });

  test("replaces the earlier one, which is unmapped", () => {
    const memory = new GuestMemory();
    const [first, second] = [share(0), share(0)];
    memory.replace([first]);
    const [region] = memory.table.regions;
    memory.replace([second]);
    expect(mappedOf(first, second)).toEqual([false, true]);
    expect(() => region?.view(0, 1)).toThrow("it is unmapped");
    memory.replace([]);
    expect(mappedOf(second)).toEqual([false]);
    expect(addressesOf(memory)).toEqual([]);
  });
});

describe("single regions", () => {
  test("are mapped beside the others, and their descriptors are closed", () => {
    const memory = new GuestMemory();
    const before = openDescriptors();
    const [first, second] = [share(0), share(SIZE)];
    memory.replace([first]);
    memory.add(second);
    expect(openDescriptors()).toBe(before);
    expect(addressesOf(memory)).toEqual([0, SIZE]);
    expect(mappedOf(first, second)).toEqual([true, true]);
    memory.replace([]);
    expect(mappedOf(first, second)).toEqual([false, false]);
  });

  test("are unmapped when they are removed, and the others remain mapped", () => {
    const memory = new GuestMemory();
    const regions = [share(0), share(SIZE), share(2 * SIZE)] as const;
    for (const region of regions) memory.add(region);
    const removed = memory.table.regions[1];
    memory.remove(regions[1]);
    expect(mappedOf(...regions)).toEqual([true, false, true]);
    expect(addressesOf(memory)).toEqual([0, 2 * SIZE]);
    expect(() => removed?.view(0, 1)).toThrow("it is unmapped");
    memory.remove(regions[1]);
    expect(addressesOf(memory)).toEqual([0, 2 * SIZE]);
    memory.replace([]);
  });

  test("that differ from all mapped ones are not removed", () => {
    const memory = new GuestMemory();
    const region = share(0);
    memory.add(region);
    for (const other of [
      { ...region, guestAddress: 4096 },
      { ...region, userAddress: USER + 4096 },
      { ...region, size: SIZE - 1 },
    ]) {
      memory.remove(other);
    }
    expect(addressesOf(memory)).toEqual([0]);
    expect(mappedOf(region)).toEqual([true]);
    // The offset in the file is not part of its identity.
    memory.remove({ ...region, mmapOffset: 4096 });
    expect(mappedOf(region)).toEqual([false]);
  });
});

describe("a region that cannot be mapped", () => {
  test("leaves no region of its table or of the earlier one mapped, and no descriptor open", () => {
    const memory = new GuestMemory();
    const before = openDescriptors();
    const earlier = share(0);
    memory.replace([earlier]);
    const regions = [share(0), share(SIZE, { size: SIZE + 1 }), share(3 * SIZE)];
    expect(() => memory.replace(regions)).toThrow("do not fit in a file");
    expect(mappedOf(earlier, ...regions)).toEqual([false, false, false, false]);
    expect(addressesOf(memory)).toEqual([]);
    expect(openDescriptors()).toBe(before);
  });

  test("unmaps its table also if the regions overlap", () => {
    const memory = new GuestMemory();
    const regions = [share(0), share(SIZE - 1)];
    expect(() => memory.replace(regions)).toThrow("overlap");
    expect(mappedOf(...regions)).toEqual([false, false]);
  });

  test("changes no other one if it is added, and is unmapped with them", () => {
    const memory = new GuestMemory();
    const before = openDescriptors();
    const [first, small, second] = [share(0), share(SIZE, { size: 2 * SIZE }), share(SIZE - 1)];
    memory.add(first);
    expect(() => memory.add(small)).toThrow("do not fit in a file");
    expect(() => memory.add(second)).toThrow("overlap");
    expect(openDescriptors()).toBe(before);
    expect(addressesOf(memory)).toEqual([0]);
    expect(mappedOf(first, small)).toEqual([true, false]);
    memory.replace([]);
    expect(mappedOf(first, small, second)).toEqual([false, false, false]);
  });
});
