/** A VMM that cheats: its messages, and the state of its connection. */
import { descriptorsOf, type VhostAction } from "../../src/protocols/vhost-user/actions.ts";
import { VhostBackend } from "../../src/protocols/vhost-user/backend.ts";
import {
  encodeConfig,
  encodeRegion,
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../src/protocols/vhost-user/encode.ts";
import { Feature, ProtocolFeature } from "../../src/protocols/vhost-user/features.ts";
import { VhostUserMessageReader } from "../../src/protocols/vhost-user/message-reader.ts";
import { decodeRequest } from "../../src/protocols/vhost-user/requests.ts";
import {
  MAX_DESCRIPTORS,
  MAX_PAYLOAD_BYTES,
  MAX_REGIONS,
  type RegionDescription,
  Request,
  type RequestName,
  type VhostMessage,
} from "../../src/protocols/vhost-user/wire.ts";
import { attempt, edge, promise } from "./promises.ts";
import type { Random } from "./random.ts";

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
export function payloadOf(name: RequestName, random: Random): [payload: Uint8Array, fds: number] {
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

/** Messages as bytes in pieces of any size. */
export function readMessages(random: Random) {
  const descriptors = new Descriptors();
  const reader = new VhostUserMessageReader();
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

/** Messages in any order, and what is to be done about them. */
export function playConnection(random: Random) {
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
