/** What is fuzzed of the vhost-user device: each target plays a VMM or a guest that cheats. */
import { VsockboxError } from "../../src/errors.ts";
import {
  descriptorsOf,
  Feature,
  ProtocolFeature,
  VhostBackend,
  type VhostAction,
} from "../../src/protocols/vhost-user/backend.ts";
import {
  decodeRequest,
  encodeConfig,
  encodeRegion,
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
  MAX_DESCRIPTORS,
  MAX_PAYLOAD_BYTES,
  MAX_REGIONS,
  MessageReader,
  type RegionDescription,
  Request,
  type RequestName,
  type VhostMessage,
} from "../../src/protocols/vhost-user/messages.ts";
import { type MemoryRegion, MemoryTable, PieceList } from "../../src/vhost/memory-table.ts";
import { Chain, Vring } from "../../src/vhost/vring.ts";
import { bufferRegion, DriverRing } from "../support/vhost.ts";
import type { Random } from "./random.ts";

/** A promise that was broken. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/** Something that is fuzzed. */
export interface VhostTarget {
  name: string;
  /**
   * Plays one session. Gives how many steps it had and how many of them were refused; throws where a
   * promise is broken.
   */
  run(random: Random): { steps: number; refused: number };
}

function promise(isKept: boolean, text: string): void {
  if (!isKept) throw new BrokenPromise(text);
}

/** Whether it went through; false where it was refused in the way that bad data is. */
function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "BAD_DATA") return false;
    throw thrown;
  }
}

const EDGES = [0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 1023, 4095, 4096, 65_535, 65_536];
const HUGE = [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 47, 2 ** 53 - 4096, 2 ** 53 - 1, 2 ** 60];

function edge(random: Random): number {
  const kind = random.below(10);
  if (kind < 6) return random.pick(EDGES);
  return kind < 8 ? random.next() : random.pick(HUGE);
}

const NAMES = Object.keys(Request) as RequestName[];

function region(random: Random): RegionDescription {
  const isSane = random.below(8) > 0;
  const guestAddress = isSane ? random.below(16) * 0x1_0000 : edge(random);
  return {
    guestAddress,
    size: isSane ? (1 + random.below(2)) * 0x1_0000 : edge(random),
    userAddress: isSane ? 0x7f00_0000_0000 + guestAddress : edge(random),
    mmapOffset: isSane ? guestAddress : edge(random),
  };
}

/** A payload that the request may have, with edges in its fields, and how many descriptors go along. */
function payloadOf(name: RequestName, random: Random): [payload: Uint8Array, fds: number] {
  const ring = random.below(20) === 0 ? random.below(300) : random.below(3);
  switch (name) {
    case "SET_FEATURES":
      return [encodeU64(random.pick([0n, Feature.Version1, 0x1_6000_0000n, 1n << 63n])), 0];
    case "SET_PROTOCOL_FEATURES":
      return [encodeU64(random.pick([0n, 0x8209n, 0x1_a209n, 0x1_a209n, 1n << 40n])), 0];
    case "SET_STATUS":
      return [encodeU64(BigInt(random.pick([0, 1, 3, 11, 15, 15, 256]))), 0];
    case "SET_MEM_TABLE": {
      const regions = Array.from({ length: random.below(4) }, () => region(random));
      return [encodeRegions(regions), regions.length];
    }
    case "ADD_MEM_REG":
      return [encodeRegion(region(random)), 1];
    case "REM_MEM_REG":
      return [encodeRegion(region(random)), random.below(2)];
    case "SET_VRING_NUM":
      return [encodeVringState(ring, random.pick([128, 128, 256, 1, 0, 3, 1024, 65_536])), 0];
    case "SET_VRING_BASE":
    case "GET_VRING_BASE":
      return [encodeVringState(ring, random.pick([0, 1, 65_535, 65_536, 2 ** 32 - 1])), 0];
    case "SET_VRING_ENABLE":
      return [encodeVringState(ring, random.pick([0, 1, 1, 1, 2])), 0];
    case "SET_VRING_ADDR": {
      const base = random.below(8) > 0 ? random.below(64) * 4096 : edge(random);
      const flags = random.below(16) === 0 ? 1 : 0;
      const addresses = { descriptors: base, available: base + 2048, used: base + 4096 };
      return [encodeVringAddresses(ring, addresses, flags), 0];
    }
    case "SET_VRING_KICK":
    case "SET_VRING_CALL":
    case "SET_VRING_ERR": {
      const hasDescriptor = random.below(6) > 0;
      return [encodeRingDescriptor(ring, { hasDescriptor }), hasDescriptor ? 1 : 0];
    }
    case "GET_CONFIG":
    case "SET_CONFIG": {
      const offset = random.pick([0, 0, 4, 8, 255, 2 ** 32 - 1]);
      return [encodeConfig(offset, new Uint8Array(random.below(260)), random.below(5)), 0];
    }
    case "SET_LOG_BASE":
      return [new Uint8Array(16), 1];
    case "SET_LOG_FD":
      return [new Uint8Array(0), 1];
    default:
      return [new Uint8Array(0), 0];
  }
}

/** Descriptors as numbers that nobody has: each one ends up closed exactly once. */
class Descriptors {
  #next = 100;
  readonly #open = new Set<number>();

  make(count: number): number[] {
    return Array.from({ length: count }, () => {
      this.#open.add(this.#next);
      return this.#next++;
    });
  }

  close(fds: readonly number[]): void {
    for (const fd of fds) promise(this.#open.delete(fd), `descriptor ${fd} is closed once`);
  }

  isOpen(fd: number): boolean {
    return this.#open.has(fd);
  }

  get count(): number {
    return this.#open.size;
  }
}

/** Bytes of a stream with something broken in them, now and then. */
function corrupt(bytes: Uint8Array, random: Random): void {
  const count = random.below(4) === 0 ? 1 + random.below(3) : 0;
  for (let index = 0; index < count && bytes.length > 0; index++) {
    bytes[random.below(bytes.length)] = random.next();
  }
}

function readMessages(random: Random) {
  const descriptors = new Descriptors();
  const reader = new MessageReader();
  let steps = 0;
  const isAlive = attempt(() => {
    for (let count = random.below(12); count > 0; count--) {
      const name = random.pick(NAMES);
      const [payload, wantedFds] = payloadOf(name, random);
      const sent = random.below(10) === 0 ? random.pick(NAMES) : name;
      const bytes = encodeRequest(sent, payload, {
        needReply: random.below(2) === 0,
      });
      corrupt(bytes, random);
      const fds = random.below(8) === 0 ? random.below(12) : wantedFds;
      for (let at = 0; at < bytes.length; steps++) {
        const { wanted } = reader;
        promise(wanted > 0 && wanted <= MAX_PAYLOAD_BYTES, "it wants something, but not too much");
        const taken = Math.min(1 + random.below(wanted), bytes.length - at);
        const given = at === 0 ? descriptors.make(fds) : [];
        const message = reader.push(bytes.subarray(at, at + taken), given);
        at += taken;
        if (message === undefined) continue;
        promise(message.fds.length <= MAX_DESCRIPTORS, "a message has few descriptors");
        promise(message.payload.length <= MAX_PAYLOAD_BYTES, "a message has few bytes");
        descriptors.close(message.fds);
        attempt(() => checkRequest(message));
      }
    }
  });
  descriptors.close(reader.takeDescriptors());
  promise(descriptors.count === 0, "every descriptor comes out again");
  return { steps, refused: isAlive ? 0 : 1 };
}

function checkRequest(message: VhostMessage): void {
  const request = decodeRequest(message);
  if (request.name !== "SET_MEM_TABLE") return;
  promise(request.regions.length <= MAX_REGIONS, "a table has few regions");
  promise(request.regions.length === message.fds.length, "each region has a descriptor");
}

/** The I/O side as far as promises go: which rings run, which regions there are. */
class PlayedDevice {
  readonly running = new Map<number, { kick: number }>();
  regions = 0;

  constructor(readonly descriptors: Descriptors) {}

  perform(actions: readonly VhostAction[]): void {
    for (const [index, action] of actions.entries()) {
      if (action.kind === "reply") promise(index === actions.length - 1, "a reply comes last");
      this.#perform(action);
      this.descriptors.close(descriptorsOf(action));
      for (const { kick } of this.running.values()) {
        promise(this.descriptors.isOpen(kick), "a ring that runs has its kick");
      }
    }
    promise(this.regions <= MAX_REGIONS, "a table has few regions");
  }

  #perform(action: VhostAction): void {
    switch (action.kind) {
      case "map-table":
        this.regions = action.regions.length;
        break;
      case "add-region":
        this.regions++;
        break;
      case "remove-region":
        promise(this.regions-- > 0, "what goes was there");
        break;
      case "start": {
        const { entries, base, kick, call, err, addresses } = action.setup;
        promise(!this.running.has(action.ring) && action.ring < 3, "a ring starts once");
        promise(entries > 0 && entries <= 1024 && Number.isInteger(Math.log2(entries)), "a size");
        promise(base >= 0 && base <= 65_535, "an index");
        promise(addresses.descriptors % 16 === 0, "it is aligned");
        for (const fd of [call, err]) {
          promise(fd === undefined || this.descriptors.isOpen(fd), "its descriptors are open");
        }
        this.running.set(action.ring, { kick });
        break;
      }
      case "stop":
        promise(this.running.delete(action.ring), "only what runs is stopped");
        break;
      case "kick":
        promise(this.running.has(action.ring), "only what runs is changed");
        this.running.set(action.ring, { kick: action.fd });
        break;
      case "enable":
      case "call":
      case "err":
        promise(this.running.has(action.ring), "only what runs is changed");
        break;
      case "reset":
        promise(this.running.size === 0, "a reset stops all");
        break;
      default:
        break;
    }
  }
}

const START: readonly RequestName[] = [
  "SET_PROTOCOL_FEATURES",
  "SET_FEATURES",
  "SET_MEM_TABLE",
  "SET_VRING_NUM",
  "SET_VRING_BASE",
  "SET_VRING_ADDR",
  "SET_VRING_CALL",
  "SET_VRING_KICK",
  "SET_VRING_ENABLE",
];

function playConnection(random: Random) {
  const descriptors = new Descriptors();
  const device = new PlayedDevice(descriptors);
  const backend = new VhostBackend({
    config: new Uint8Array(8),
    lastAvailable: (ring) => {
      promise(device.running.has(ring), "only a ring that runs is asked");
      return random.next();
    },
    protocolFeatures: 0x8209n | ProtocolFeature.Status | ProtocolFeature.ResetDevice,
  });
  const steps = random.below(60);
  let refused = 0;
  for (let step = 0; step < steps; step++) {
    const name = random.below(3) > 0 ? random.pick(START) : random.pick(NAMES);
    const [payload, count] = payloadOf(name, random);
    if (random.below(12) === 0) corrupt(payload, random);
    const fds = descriptors.make(random.below(20) === 0 ? random.below(9) : count);
    const message = { request: Request[name], flags: random.pick([1, 9]), payload, fds };
    let actions: VhostAction[] = [];
    const isTaken = attempt(() => {
      actions = backend.handle(message);
    });
    if (isTaken) {
      device.perform(actions);
    } else {
      refused++;
      backend.refusal(message);
      descriptors.close(fds);
      // The product drops the connection; the state has to be sound in any case.
      if (random.below(4) === 0) device.perform(backend.end());
    }
    for (const ring of [0, 1, 2]) {
      promise(backend.isRunning(ring) === device.running.has(ring), "both know what runs");
    }
  }
  device.perform(backend.end());
  promise(descriptors.count === 0, "every descriptor is closed in the end");
  promise(device.running.size === 0 && device.regions === 0, "nothing is left");
  return { steps, refused };
}

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

function playMemory(random: Random) {
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

function breakRing(driver: DriverRing, random: Random): void {
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

function playRing(random: Random) {
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
  const ring = new Vring(table, { name: "ring", entries, addresses, base, indirect, eventIndex });
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
        ring.take();
        const written = random.next();
        ring.use(chain.head, written);
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

/** All of them. */
export const VHOST_TARGETS: readonly VhostTarget[] = [
  { name: "messages", run: readMessages },
  { name: "connection", run: playConnection },
  { name: "memory", run: playMemory },
  { name: "ring", run: playRing },
];
