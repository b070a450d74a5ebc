/** Requests of a VMM: decodes payloads and descriptors; no I/O. */
import {
  badVhostUserMessage,
  CONFIG_HEADER_BYTES,
  knownRequest,
  LOG_BYTES,
  MAX_CONFIG_BYTES,
  MAX_DESCRIPTORS,
  MAX_MEMORY_BYTES,
  MAX_REGIONS,
  NO_DESCRIPTOR,
  ONE_REGION_BYTES,
  REGION_BYTES,
  REGION_PADDING_BYTES,
  type RegionDescription,
  REGIONS_HEADER_BYTES,
  type RequestName,
  RING_MASK,
  type RingAddresses,
  type VhostMessage,
  viewOf,
  VRING_ADDRESS_BYTES,
  VRING_STATE_BYTES,
} from "./wire.ts";

/** VHOST_USER_GET_CONFIG, flags: 0 and 1 in the document; the vhost crate has 1 and 2 as bits. */
const MAX_CONFIG_FLAGS = 3;

/** What a request may be: least and most bytes of payload, least and most descriptors. */
type Shape = readonly [minBytes: number, maxBytes: number, minFds: number, maxFds: number];

const NOTHING: Shape = [0, 0, 0, 0];
const U64: Shape = [8, 8, 0, 0];
const VRING_STATE: Shape = [VRING_STATE_BYTES, VRING_STATE_BYTES, 0, 0];
const VRING_DESCRIPTOR: Shape = [8, 8, 0, 1];
const CONFIG: Shape = [CONFIG_HEADER_BYTES, CONFIG_HEADER_BYTES + MAX_CONFIG_BYTES, 0, 0];

const SHAPES: Readonly<Record<RequestName, Shape>> = {
  GET_FEATURES: NOTHING,
  SET_FEATURES: U64,
  SET_OWNER: NOTHING,
  RESET_OWNER: NOTHING,
  SET_MEM_TABLE: [
    REGIONS_HEADER_BYTES,
    REGIONS_HEADER_BYTES + MAX_REGIONS * REGION_BYTES,
    0,
    MAX_DESCRIPTORS,
  ],
  // A u64 if VHOST_USER_PROTOCOL_F_LOG_SHMFD is not negotiated.
  SET_LOG_BASE: [8, LOG_BYTES, 0, 1],
  SET_LOG_FD: [0, 0, 1, 1],
  SET_BACKEND_REQ_FD: [0, 0, 1, 1],
  SET_VRING_NUM: VRING_STATE,
  SET_VRING_ADDR: [VRING_ADDRESS_BYTES, VRING_ADDRESS_BYTES, 0, 0],
  SET_VRING_BASE: VRING_STATE,
  GET_VRING_BASE: VRING_STATE,
  SET_VRING_KICK: VRING_DESCRIPTOR,
  SET_VRING_CALL: VRING_DESCRIPTOR,
  SET_VRING_ERR: VRING_DESCRIPTOR,
  GET_PROTOCOL_FEATURES: NOTHING,
  SET_PROTOCOL_FEATURES: U64,
  GET_QUEUE_NUM: NOTHING,
  SET_VRING_ENABLE: VRING_STATE,
  GET_CONFIG: CONFIG,
  SET_CONFIG: CONFIG,
  RESET_DEVICE: NOTHING,
  GET_MAX_MEM_SLOTS: NOTHING,
  ADD_MEM_REG: [ONE_REGION_BYTES, ONE_REGION_BYTES, 1, 1],
  // "For compatibility with existing incorrect implementations" one descriptor may come along.
  REM_MEM_REG: [ONE_REGION_BYTES, ONE_REGION_BYTES, 0, 1],
  SET_STATUS: U64,
  GET_STATUS: NOTHING,
};

/** A request with its payload read. */
export type VhostRequest =
  | {
      name:
        | "GET_FEATURES"
        | "SET_OWNER"
        | "RESET_OWNER"
        | "SET_LOG_BASE"
        | "SET_LOG_FD"
        | "SET_BACKEND_REQ_FD"
        | "GET_PROTOCOL_FEATURES"
        | "GET_QUEUE_NUM"
        | "RESET_DEVICE"
        | "GET_MAX_MEM_SLOTS"
        | "GET_STATUS";
    }
  | { name: "SET_FEATURES" | "SET_PROTOCOL_FEATURES" | "SET_STATUS"; value: bigint }
  | { name: "SET_MEM_TABLE"; regions: RegionDescription[] }
  | { name: "ADD_MEM_REG" | "REM_MEM_REG"; region: RegionDescription }
  | {
      name: "SET_VRING_NUM" | "SET_VRING_BASE" | "GET_VRING_BASE" | "SET_VRING_ENABLE";
      ring: number;
      value: number;
    }
  | { name: "SET_VRING_ADDR"; ring: number; flags: number; addresses: RingAddresses }
  | {
      name: "SET_VRING_KICK" | "SET_VRING_CALL" | "SET_VRING_ERR";
      ring: number;
      /** Undefined if the VMM sends none on purpose: it polls, or wants polling. */
      fd: number | undefined;
    }
  | { name: "GET_CONFIG" | "SET_CONFIG"; offset: number; flags: number; bytes: Uint8Array };

/** A u64 that must be an exact number, as all addresses and sizes of a real VM are. */
function readU64(view: DataView, offset: number, request: number, field: string): number {
  const value = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
  if (value > Number.MAX_SAFE_INTEGER)
    throw badVhostUserMessage(request, `the ${field} is above 2^53`);
  return value;
}

function readRegion(view: DataView, offset: number, request: number): RegionDescription {
  const region = {
    guestAddress: readU64(view, offset, request, "guest address"),
    size: readU64(view, offset + 8, request, "size of a region"),
    userAddress: readU64(view, offset + 16, request, "user address"),
    mmapOffset: readU64(view, offset + 24, request, "mmap offset"),
  };
  if (region.size === 0) throw badVhostUserMessage(request, "a region is empty");
  if (region.size > MAX_MEMORY_BYTES) {
    throw badVhostUserMessage(
      request,
      `a region of ${region.size} bytes is above ${MAX_MEMORY_BYTES}`,
    );
  }
  const begin = Math.max(region.guestAddress, region.userAddress, region.mmapOffset);
  if (begin + region.size > Number.MAX_SAFE_INTEGER) {
    throw badVhostUserMessage(request, "a region ends above 2^53");
  }
  return region;
}

/**
 * Two regions that share guest addresses, if there are any. User addresses may be shared: a VMM can
 * show the same memory to the guest twice.
 */
export function overlapOf<T extends Pick<RegionDescription, "guestAddress" | "size">>(
  regions: readonly T[],
): readonly [T, T] | undefined {
  const sorted = regions.toSorted((a, b) => a.guestAddress - b.guestAddress);
  for (const [index, second] of sorted.entries()) {
    const first = sorted[index - 1];
    if (first !== undefined && first.guestAddress + first.size > second.guestAddress) {
      return [first, second];
    }
  }
  return undefined;
}

function readRegions(message: VhostMessage): RegionDescription[] {
  const { request, payload, fds } = message;
  const view = viewOf(payload);
  const count = view.getUint32(0, true);
  if (count > MAX_REGIONS)
    throw badVhostUserMessage(request, `${count} regions are above ${MAX_REGIONS}`);
  const wanted = REGIONS_HEADER_BYTES + count * REGION_BYTES;
  // Linux as a VMM, virtio_uml, sends space for two regions whatever their count.
  if (payload.length < wanted) {
    throw badVhostUserMessage(request, `${payload.length} bytes of payload, expected ${wanted}`);
  }
  if (fds.length !== count) {
    throw badVhostUserMessage(request, `${fds.length} descriptors for ${count} regions`);
  }
  return Array.from({ length: count }, (_, index) =>
    readRegion(view, REGIONS_HEADER_BYTES + index * REGION_BYTES, request),
  );
}

function readRingDescriptor({ request, payload, fds }: VhostMessage) {
  const value = viewOf(payload).getBigUint64(0, true);
  if ((value & ~(RING_MASK | NO_DESCRIPTOR)) !== 0n)
    throw badVhostUserMessage(request, "unknown bits set");
  const isWithout = (value & NO_DESCRIPTOR) !== 0n;
  if (isWithout !== (fds.length === 0)) {
    const what = isWithout ? "a descriptor that was not announced" : "no descriptor";
    throw badVhostUserMessage(request, what);
  }
  return { ring: Number(value & RING_MASK), fd: fds[0] };
}

function readConfig({ request, payload }: VhostMessage) {
  const view = viewOf(payload);
  const [offset, size, flags] = [0, 4, 8].map((at) => view.getUint32(at, true));
  if (offset === undefined || size === undefined || flags === undefined) {
    throw badVhostUserMessage(request, "the payload is too short");
  }
  if (payload.length !== CONFIG_HEADER_BYTES + size) {
    throw badVhostUserMessage(
      request,
      `${payload.length} bytes of payload for ${size} bytes of config`,
    );
  }
  if (flags > MAX_CONFIG_FLAGS) throw badVhostUserMessage(request, `unknown flags ${flags}`);
  return { offset, flags, bytes: payload.subarray(CONFIG_HEADER_BYTES) };
}

function checkShape(name: RequestName, { request, payload, fds }: VhostMessage): void {
  const [minBytes, maxBytes, minFds, maxFds] = SHAPES[name];
  if (payload.length < minBytes || payload.length > maxBytes) {
    const wanted = minBytes === maxBytes ? `${minBytes}` : `${minBytes} to ${maxBytes}`;
    throw badVhostUserMessage(request, `${payload.length} bytes of payload, expected ${wanted}`);
  }
  if (fds.length < minFds || fds.length > maxFds) {
    const wanted = minFds === maxFds ? `${minFds}` : `${minFds} to ${maxFds}`;
    throw badVhostUserMessage(request, `${fds.length} descriptors, expected ${wanted}`);
  }
}

/**
 * Reads a message's payload.
 *
 * @throws {VsockboxError} BAD_DATA, naming the request. The message's descriptors stay the caller's.
 */
export function decodeRequest(message: VhostMessage): VhostRequest {
  const { request, payload } = message;
  const name = knownRequest(request);
  if (name === undefined) throw badVhostUserMessage(request, "unknown");
  checkShape(name, message);
  const view = viewOf(payload);
  switch (name) {
    case "SET_FEATURES":
    case "SET_PROTOCOL_FEATURES":
    case "SET_STATUS":
      return { name, value: view.getBigUint64(0, true) };
    case "SET_MEM_TABLE":
      return { name, regions: readRegions(message) };
    case "ADD_MEM_REG":
    case "REM_MEM_REG":
      return { name, region: readRegion(view, REGION_PADDING_BYTES, request) };
    case "SET_VRING_NUM":
    case "SET_VRING_BASE":
    case "GET_VRING_BASE":
    case "SET_VRING_ENABLE":
      return { name, ring: view.getUint32(0, true), value: view.getUint32(4, true) };
    case "SET_VRING_ADDR":
      return {
        name,
        ring: view.getUint32(0, true),
        flags: view.getUint32(4, true),
        addresses: {
          descriptors: readU64(view, 8, request, "descriptor table's address"),
          used: readU64(view, 16, request, "used ring's address"),
          available: readU64(view, 24, request, "available ring's address"),
        },
      };
    case "SET_VRING_KICK":
    case "SET_VRING_CALL":
    case "SET_VRING_ERR":
      return { name, ...readRingDescriptor(message) };
    case "GET_CONFIG":
    case "SET_CONFIG":
      return { name, ...readConfig(message) };
    case "GET_FEATURES":
    case "SET_OWNER":
    case "RESET_OWNER":
    case "SET_LOG_BASE":
    case "SET_LOG_FD":
    case "SET_BACKEND_REQ_FD":
    case "GET_PROTOCOL_FEATURES":
    case "GET_QUEUE_NUM":
    case "RESET_DEVICE":
    case "GET_MAX_MEM_SLOTS":
    case "GET_STATUS":
      return { name };
  }
}
