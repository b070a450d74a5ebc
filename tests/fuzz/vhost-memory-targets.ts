/** A guest that cheats: its memory and its rings, as buffers. */
import {
  type MemoryRegion,
  MemoryTable,
  PieceList,
} from "../../src/device/vhost-user/memory-table.ts";
import { Chain, Virtqueue } from "../../src/device/vhost-user/virtqueue.ts";
import { bufferRegion, DriverRing } from "../support/vhost.ts";
import { attempt, edge, promise } from "./promises.ts";
import type { Random } from "./random.ts";

/** Where a test's region is for readv(2): none of them touch. */
const hostOf = (index: number) => (index + 1) * 2 ** 32;

function randomRegion(random: Random, index: number): MemoryRegion {
  const isSane = random.below(10) > 0;
  const size = 1 + random.below(64);
  const guestAddress = isSane ? random.below(16) * 32 : edge(random);
  const userAddress = isSane ? random.below(1024) : edge(random);
  return bufferRegion(guestAddress, size, { userAddress, hostAddress: hostOf(index) });
}

/** The same as the table, byte by byte: where a guest's address is for us. */
function hostByte(regions: readonly MemoryRegion[], address: number): number | undefined {
  const found = regions.find(
    ({ guestAddress, size }) => address >= guestAddress && address < guestAddress + size,
  );
  return found === undefined ? undefined : found.hostAddress + (address - found.guestAddress);
}

/** Regions that come and go, and addresses in and between them. */
export function playMemory(random: Random) {
  const table = new MemoryTable();
  const pieces = new PieceList(6);
  const steps = random.below(80);
  let refused = 0;
  for (let step = 0; step < steps; step++) {
    const before = table.regions;
    const change = random.below(8);
    let isTaken = true;
    if (change === 0) {
      isTaken = attempt(() => table.add(randomRegion(random, step)));
    } else if (change === 1 && before.length > 0) {
      const gone = random.pick(before);
      promise(table.remove(gone) === gone, "what is there goes");
    } else if (change === 2 && random.below(4) === 0) {
      const regions = Array.from({ length: random.below(10) }, (_, index) =>
        randomRegion(random, step * 16 + index),
      );
      isTaken = attempt(() => table.replace(regions));
    } else {
      isTaken = checkTranslation(table, pieces, random);
    }
    if (!isTaken) {
      refused++;
      promise(table.regions === before, "what is refused changes nothing");
    }
  }
  return { steps, refused };
}

function checkTranslation(table: MemoryTable, pieces: PieceList, random: Random): boolean {
  const isSane = random.below(8) > 0;
  const address = isSane ? random.below(600) : edge(random);
  const length = isSane ? random.below(48) : edge(random) % 2 ** 32;
  pieces.clear();
  const isTaken = attempt(() => table.translate(address, length, pieces));
  if (!isTaken) {
    if (length >= 100) return false;
    const bytes = Array.from({ length }, (_, index) => hostByte(table.regions, address + index));
    promise(bytes.includes(undefined) || pieces.count === 6, "what is there is found");
    return false;
  }
  promise(pieces.bytes === length, "all bytes are there");
  let at = address;
  for (let index = 0; index < pieces.count; index++) {
    for (let byte = 0; byte < pieces.length(index); byte++, at++) {
      const expected = hostByte(table.regions, at);
      promise(pieces.address(index) + byte === expected, "each byte is where it should be");
    }
  }
  const copied = new Uint8Array(length);
  promise(table.write(pieces, 0, copied) === length, "all bytes can be written");
  promise(table.read(pieces, 0, copied) === length, "all bytes can be read");
  return true;
}

const RING_MEMORY = 8192;
const GUARD = 0xa5;
const GUARD_BYTES = 256;
/** Where chains of the test point to. */
const RING_DATA = 4096;

function checkChain(chain: Chain, entries: number): void {
  for (const list of [chain.readable, chain.writable]) {
    promise(list.count <= entries * 2, "a chain has few pieces");
    let bytes = 0;
    for (let index = 0; index < list.count; index++) {
      const begin = list.address(index) - hostOf(0);
      const end = begin + list.length(index);
      promise(begin >= 0 && end <= RING_MEMORY && end >= begin, "a piece lies in guest memory");
      bytes += list.length(index);
    }
    promise(bytes === list.bytes, "the sum is right");
  }
}

/** Writes a chain as a driver should. Gives the lengths of its parts. */
function offerChain(driver: DriverRing, random: Random, indirect: boolean) {
  const { entries } = driver;
  const count = 1 + random.below(Math.min(entries, 5));
  const readable = random.below(count + 1);
  const isIndirect = indirect && random.below(3) === 0;
  const first = isIndirect ? 0 : random.below(entries);
  const table = isIndirect ? RING_DATA + 2048 : driver.addresses.descriptors;
  const size = isIndirect ? count : entries;
  const bytes = [0, 0] as [number, number];
  for (let index = 0; index < count; index++) {
    const length = random.below(200);
    bytes[index < readable ? 0 : 1] += length;
    const slot = (first + index) % size;
    const flags = (index < readable ? 0 : 2) | (index < count - 1 ? 1 : 0);
    const next = (slot + 1) % size;
    driver.describe(slot, { address: RING_DATA + random.below(1024), length, flags, next }, table);
  }
  if (isIndirect) driver.describe(0, { address: table, length: count * 16, flags: 4 });
  driver.offer(first);
  return { head: first, bytes };
}

/** Breaks something of a ring. */
export function breakRing(driver: DriverRing, random: Random): void {
  const { memory, entries, end } = driver;
  switch (random.below(5)) {
    case 0:
      driver.setIndex(driver.available + random.pick([1, entries, entries + 1, -1, 32_768]));
      break;
    case 1: {
      const address = random.below(3) === 0 ? edge(random) : random.below(RING_MEMORY);
      const length = random.below(3) === 0 ? random.next() : random.below(64) * 16;
      const next = random.below(entries + 1);
      const flags = random.below(8);
      driver.describe(random.below(entries), { address, length, flags, next });
      break;
    }
    case 2:
      memory.setUint16(
        driver.addresses.available + 4 + 2 * random.below(entries),
        random.below(2) === 0 ? random.below(entries + 2) : random.next(),
        true,
      );
      break;
    default:
      memory.setUint8(
        random.below(2) === 0 ? random.below(end) : random.below(RING_MEMORY),
        random.next(),
      );
  }
}

/** A ring that its driver breaks. */
export function playRing(random: Random) {
  const buffer = new ArrayBuffer(RING_MEMORY + 2 * GUARD_BYTES);
  const whole = new Uint8Array(buffer).fill(GUARD);
  whole.fill(0, GUARD_BYTES, GUARD_BYTES + RING_MEMORY);
  const entries = 2 ** random.below(6);
  const driver = new DriverRing(new DataView(buffer, GUARD_BYTES, RING_MEMORY), entries);
  const options = { before: GUARD_BYTES, buffer, hostAddress: hostOf(0) };
  const table = new MemoryTable();
  if (random.below(2) === 0) {
    table.replace([bufferRegion(0, RING_MEMORY, options)]);
  } else {
    // Two regions with a border in the middle of the data.
    const [first, second] = [RING_DATA + 512, RING_MEMORY - RING_DATA - 512];
    const rest = { ...options, before: GUARD_BYTES + first, hostAddress: hostOf(0) + first };
    table.replace([bufferRegion(0, first, options), bufferRegion(first, second, rest)]);
  }
  const indirect = random.below(2) === 0;
  const eventIndex = random.below(2) === 0;
  const base = random.pick([0, 65_535, random.below(65_536)]);
  driver.available = base;
  driver.setIndex(base);
  const { addresses } = driver;
  const ring = new Virtqueue(table, {
    name: "ring",
    entries,
    addresses,
    base,
    indirect,
    eventIndex,
  });
  const chain = new Chain(entries);
  const isHonest = random.below(4) === 0;
  const steps = random.below(60);
  let refused = 0;
  let waiting = 0;
  for (let step = 0; step < steps; step++) {
    // An honest driver has one chain at a time here, since its slots are picked at random.
    const offered = waiting === 0 || !isHonest ? offerChain(driver, random, indirect) : undefined;
    waiting++;
    if (!isHonest) for (let count = random.below(4); count > 0; count--) breakRing(driver, random);
    const descriptors = whole.slice(GUARD_BYTES, GUARD_BYTES + addresses.used);
    const behind = whole.slice(GUARD_BYTES + driver.end);
    const announced = driver.memory.getUint16(addresses.available + 2, true);
    const isTooFar = ((announced - ring.lastAvailable) & 0xffff) > entries;
    const isTaken = attempt(() => {
      if (random.below(8) === 0) ring.disableKicks();
      for (let count = 0; count <= entries && ring.peek(chain); count++) {
        checkChain(chain, entries);
        if (isHonest && offered !== undefined) {
          promise(chain.head === offered.head, "the head is the one that was given");
          promise(chain.readable.bytes === offered.bytes[0], "all that can be read is there");
          promise(chain.writable.bytes === offered.bytes[1], "all that can be written is there");
        }
        ring.advance();
        const written = random.next();
        ring.addUsed(chain.head, written);
        ring.publish();
        const used = driver.used((driver.usedIndex - 1) & 0xffff);
        promise(used.head === chain.head && used.length === written, "it is given back");
        waiting = 0;
      }
      ring.shouldSignal();
      if (random.below(4) === 0) ring.enableKicks();
    });
    if (isHonest) promise(isTaken, "an honest ring is served");
    if (isTooFar) promise(!isTaken, "an index that jumps is refused");
    promise(
      Buffer.compare(descriptors, whole.subarray(GUARD_BYTES, GUARD_BYTES + addresses.used)) ===
        0 && Buffer.compare(behind, whole.subarray(GUARD_BYTES + driver.end)) === 0,
      "nothing but the used ring is written",
    );
    if (isTaken) continue;
    refused++;
    // The guest resets its device.
    ring.lastAvailable = driver.available;
  }
  const isIntact = [whole.subarray(0, GUARD_BYTES), whole.subarray(GUARD_BYTES + RING_MEMORY)];
  for (const guard of isIntact) {
    promise(
      guard.every((byte) => byte === GUARD),
      "nothing outside of guest memory is written",
    );
  }
  return { steps, refused };
}
