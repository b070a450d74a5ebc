/**
 * Messages of the vhost-user protocol, as far as a vsock device sees them: docs/interop/vhost-user.rst
 * of QEMU. Bytes and descriptors in, requests out; no I/O. Section names below are that document's.
 *
 * All numbers are little-endian ("Message Specification": the machine's own order, and both machines
 * that vsockbox runs on are little-endian). All of it comes from a VMM that is not trusted.
 */
import { VsockboxError } from "../../errors.ts";

/** u32 request, u32 flags, u32 size of the payload; section "Header". */
export const HEADER_BYTES = 12;

/**
 * Largest payload that is accepted, in bytes. The largest one of this protocol's requests to a vsock
 * device, a configuration space of 256 bytes, is far below it.
 */
export const MAX_PAYLOAD_BYTES = 4096;

/** Most regions of guest memory: VHOST_MEMORY_BASELINE_NREGIONS of QEMU and of libvhost-user. */
export const MAX_REGIONS = 8;

/** Most descriptors with one message: VHOST_MEMORY_BASELINE_NREGIONS, one for each region. */
export const MAX_DESCRIPTORS = 8;

/** Largest configuration space: VHOST_USER_MAX_CONFIG_SIZE of QEMU, in bytes. */
export const MAX_CONFIG_BYTES = 256;

/** Most guest memory in all: a page table of our views of it has to stay small. 4 TiB. */
export const MAX_MEMORY_BYTES = 2 ** 42;

/** Bits of the header's flags; section "Header". */
export const HeaderFlag = {
  /** The protocol's version is in the two lowest bits. */
  VersionMask: 0x3,
  Version: 0x1,
  Reply: 0x4,
  NeedReply: 0x8,
} as const;

const KNOWN_FLAGS = HeaderFlag.VersionMask | HeaderFlag.Reply | HeaderFlag.NeedReply;

/** Request numbers; section "Front-end message types", each under VHOST_USER_ and its name. */
export const Request = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

/** A request's name without VHOST_USER_. */
export type RequestName = keyof typeof Request;

const NAMES = new Map<number, RequestName>(
  Object.entries(Request).map(([name, number]) => [number, name as RequestName] as const),
);

/** The request's name for messages; its number where it has none. */
export function requestName(request: number): string {
  return NAMES.get(request) ?? `request ${request}`;
}

/** Section "A vring state description": u32 index, u32 num. */
const VRING_STATE_BYTES = 8;
/** Section "A vring address description": two u32 and four u64. */
const VRING_ADDRESS_BYTES = 40;
/** Section "Memory region description": four u64. */
const REGION_BYTES = 32;
/** Section "Multiple Memory regions description": u32 count, u32 padding. */
const REGIONS_HEADER_BYTES = 8;
/** Section "Single memory region description": u64 padding. */
const REGION_PADDING_BYTES = 8;
/** Section "Virtio device config space": u32 offset, u32 size, u32 flags. */
const CONFIG_HEADER_BYTES = 12;
/** Section "Log description": u64 size, u64 offset. */
const LOG_BYTES = 16;

/** Section "VHOST_USER_SET_VRING_KICK": bits 0 to 7 are the ring, bit 8 says that no descriptor comes. */
const RING_MASK = 0xffn;
const NO_DESCRIPTOR = 0x100n;

/** VHOST_USER_GET_CONFIG, flags: 0 and 1 in the document; the vhost crate has 1 and 2 as bits. */
const MAX_CONFIG_FLAGS = 3;

/** What a request may be: least and most bytes of payload, least and most descriptors. */
type Shape = readonly [minBytes: number, maxBytes: number, minFds: number, maxFds: number];

const NOTHING: Shape = [0, 0, 0, 0];
const U64: Shape = [8, 8, 0, 0];
const VRING_STATE: Shape = [VRING_STATE_BYTES, VRING_STATE_BYTES, 0, 0];
const VRING_DESCRIPTOR: Shape = [8, 8, 0, 1];
const CONFIG: Shape = [CONFIG_HEADER_BYTES, CONFIG_HEADER_BYTES + MAX_CONFIG_BYTES, 0, 0];
const ONE_REGION_BYTES = REGION_PADDING_BYTES + REGION_BYTES;

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
  // A u64 where VHOST_USER_PROTOCOL_F_LOG_SHMFD is not negotiated.
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

/** The error for a message that is not what the protocol allows. */
export function badMessage(request: number, message: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: `vhost-user ${requestName(request)}`,
    message,
  });
}

/** A whole message as it came in. */
export interface VhostMessage {
  request: number;
  flags: number;
  payload: Uint8Array;
  /** Descriptors that came with it, in order. */
  fds: readonly number[];
}

/** A piece of guest memory that the VMM offers; section "Memory region description". */
export interface RegionDescription {
  /** Where the guest sees it. */
  guestAddress: number;
  /** In bytes. */
  size: number;
  /** Where the VMM has it mapped: ring addresses are given so. */
  userAddress: number;
  /** Where it begins in its descriptor. */
  mmapOffset: number;
}

/** A ring's three parts as addresses of the VMM ("user" addresses). */
export interface RingAddresses {
  descriptors: number;
  used: number;
  available: number;
}

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
      /** Undefined where the VMM sends none on purpose: it will poll, or wants polling. */
      fd: number | undefined;
    }
  | { name: "GET_CONFIG" | "SET_CONFIG"; offset: number; flags: number; bytes: Uint8Array };

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A u64 that has to be an exact number: addresses and sizes of a real machine all are. */
function readU64(view: DataView, offset: number, request: number, field: string): number {
  const value = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
  if (value > Number.MAX_SAFE_INTEGER) throw badMessage(request, `the ${field} is above 2^53`);
  return value;
}

function readRegion(view: DataView, offset: number, request: number): RegionDescription {
  const region = {
    guestAddress: readU64(view, offset, request, "guest address"),
    size: readU64(view, offset + 8, request, "size of a region"),
    userAddress: readU64(view, offset + 16, request, "user address"),
    mmapOffset: readU64(view, offset + 24, request, "mmap offset"),
  };
  if (region.size === 0) throw badMessage(request, "a region has no bytes");
  if (region.size > MAX_MEMORY_BYTES) {
    throw badMessage(request, `a region of ${region.size} bytes is above ${MAX_MEMORY_BYTES}`);
  }
  const begin = Math.max(region.guestAddress, region.userAddress, region.mmapOffset);
  if (begin + region.size > Number.MAX_SAFE_INTEGER) {
    throw badMessage(request, "a region ends above 2^53");
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
  if (count > MAX_REGIONS) throw badMessage(request, `${count} regions are above ${MAX_REGIONS}`);
  const wanted = REGIONS_HEADER_BYTES + count * REGION_BYTES;
  // Linux as a VMM, virtio_uml, sends room for two regions whatever their count.
  if (payload.length < wanted) {
    throw badMessage(request, `${payload.length} bytes of payload, where ${wanted} belong`);
  }
  if (fds.length !== count) {
    throw badMessage(request, `${fds.length} descriptors for ${count} regions`);
  }
  return Array.from({ length: count }, (_, index) =>
    readRegion(view, REGIONS_HEADER_BYTES + index * REGION_BYTES, request),
  );
}

function readRingDescriptor({ request, payload, fds }: VhostMessage) {
  const value = viewOf(payload).getBigUint64(0, true);
  if ((value & ~(RING_MASK | NO_DESCRIPTOR)) !== 0n) throw badMessage(request, "unknown bits set");
  const isWithout = (value & NO_DESCRIPTOR) !== 0n;
  if (isWithout !== (fds.length === 0)) {
    const what = isWithout ? "a descriptor where none was announced" : "no descriptor";
    throw badMessage(request, what);
  }
  return { ring: Number(value & RING_MASK), fd: fds[0] };
}

function readConfig({ request, payload }: VhostMessage) {
  const view = viewOf(payload);
  const [offset, size, flags] = [0, 4, 8].map((at) => view.getUint32(at, true));
  if (offset === undefined || size === undefined || flags === undefined) {
    throw badMessage(request, "the payload is too short");
  }
  if (payload.length !== CONFIG_HEADER_BYTES + size) {
    throw badMessage(request, `${payload.length} bytes of payload for ${size} bytes of config`);
  }
  if (flags > MAX_CONFIG_FLAGS) throw badMessage(request, `unknown flags ${flags}`);
  return { offset, flags, bytes: payload.subarray(CONFIG_HEADER_BYTES) };
}

function checkShape(name: RequestName, { request, payload, fds }: VhostMessage): void {
  const [minBytes, maxBytes, minFds, maxFds] = SHAPES[name];
  if (payload.length < minBytes || payload.length > maxBytes) {
    const wanted = minBytes === maxBytes ? `${minBytes}` : `${minBytes} to ${maxBytes}`;
    throw badMessage(request, `${payload.length} bytes of payload, where ${wanted} belong`);
  }
  if (fds.length < minFds || fds.length > maxFds) {
    const wanted = minFds === maxFds ? `${minFds}` : `${minFds} to ${maxFds}`;
    throw badMessage(request, `${fds.length} descriptors, where ${wanted} belong`);
  }
}

/**
 * Reads a message's payload.
 *
 * @throws {VsockboxError} BAD_DATA, naming the request. The message's descriptors stay the caller's.
 */
export function decodeRequest(message: VhostMessage): VhostRequest {
  const { request, payload } = message;
  const name = NAMES.get(request);
  if (name === undefined) throw badMessage(request, "unknown");
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
    default:
      return { name };
  }
}

/** Cuts what comes from a VMM into messages, and keeps descriptors with theirs. */
export class MessageReader {
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  #payload = new Uint8Array(0);
  #payloadFilled = 0;
  #fds: number[] = [];

  /**
   * How many bytes to ask the socket for: the rest of the header, or of the payload. The kernel gives
   * descriptors with the bytes that they were sent with, but it may put bytes of earlier messages in
   * front of these: who reads no more than this always has a message's own descriptors.
   */
  get wanted(): number {
    const missing = HEADER_BYTES - this.#headerFilled;
    return missing > 0 ? missing : this.#payload.length - this.#payloadFilled;
  }

  /** Whether the input so far ends at the border of two messages. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0 && this.#fds.length === 0;
  }

  /**
   * Takes the next bytes, at most {@link wanted}, and the descriptors that came with them.
   *
   * @returns the message that they complete, if they do.
   * @throws {VsockboxError} BAD_DATA; the reader is of no use after, but for
   * {@link takeDescriptors}.
   */
  push(bytes: Uint8Array, fds: readonly number[] = []): VhostMessage | undefined {
    this.#fds.push(...fds);
    if (this.#fds.length > MAX_DESCRIPTORS) {
      throw badMessage(this.#request, `more than ${MAX_DESCRIPTORS} descriptors`);
    }
    if (bytes.length > this.wanted) {
      throw new VsockboxError({
        code: "SOFTWARE",
        operation: "read vhost-user message",
        message: `${bytes.length} bytes were given where ${this.wanted} were wanted`,
      });
    }
    if (this.#headerFilled < HEADER_BYTES) {
      this.#header.set(bytes, this.#headerFilled);
      this.#headerFilled += bytes.length;
      if (this.#headerFilled < HEADER_BYTES) return undefined;
      this.#onHeader();
    } else {
      this.#payload.set(bytes, this.#payloadFilled);
      this.#payloadFilled += bytes.length;
    }
    return this.#payloadFilled === this.#payload.length ? this.#complete() : undefined;
  }

  /**
   * The descriptors that no message was given out with: to be closed when the VMM has gone, or sent
   * something bad. They are the caller's from now on.
   */
  takeDescriptors(): number[] {
    const fds = this.#fds;
    this.#fds = [];
    return fds;
  }

  get #request(): number {
    return this.#headerView.getUint32(0, true);
  }

  #onHeader(): void {
    const flags = this.#headerView.getUint32(4, true);
    const size = this.#headerView.getUint32(8, true);
    if ((flags & HeaderFlag.VersionMask) !== HeaderFlag.Version) {
      const version = flags & HeaderFlag.VersionMask;
      throw badMessage(this.#request, `version ${version}, where 1 belongs`);
    }
    if ((flags & HeaderFlag.Reply) !== 0) throw badMessage(this.#request, "a reply to nothing");
    if ((flags & ~KNOWN_FLAGS) !== 0) throw badMessage(this.#request, "unknown flags");
    if (size > MAX_PAYLOAD_BYTES) {
      throw badMessage(this.#request, `a payload of ${size} bytes is above ${MAX_PAYLOAD_BYTES}`);
    }
    this.#payload = new Uint8Array(size);
    this.#payloadFilled = 0;
  }

  #complete(): VhostMessage {
    const message = {
      request: this.#request,
      flags: this.#headerView.getUint32(4, true),
      payload: this.#payload,
      fds: this.takeDescriptors(),
    };
    this.#headerFilled = 0;
    this.#payload = new Uint8Array(0);
    this.#payloadFilled = 0;
    return message;
  }
}

function encode(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, request, true);
  view.setUint32(4, HeaderFlag.Version | flags, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A request as a VMM sends it. */
export function encodeRequest(
  name: RequestName,
  payload: Uint8Array = new Uint8Array(0),
  { needReply = false } = {},
): Uint8Array {
  return encode(Request[name], needReply ? HeaderFlag.NeedReply : 0, payload);
}

/** An answer to a request. */
export function encodeReply(request: number, payload: Uint8Array): Uint8Array {
  return encode(request, HeaderFlag.Reply, payload);
}

/** Section "A single 64-bit integer". */
export function encodeU64(value: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return new Uint8Array(view.buffer);
}

/** Section "A vring state description". */
export function encodeVringState(ring: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(VRING_STATE_BYTES));
  view.setUint32(0, ring, true);
  view.setUint32(4, value, true);
  return new Uint8Array(view.buffer);
}

/** Section "A vring address description", without a log. */
export function encodeVringAddresses(
  ring: number,
  addresses: RingAddresses,
  flags = 0,
): Uint8Array {
  const view = new DataView(new ArrayBuffer(VRING_ADDRESS_BYTES));
  view.setUint32(0, ring, true);
  view.setUint32(4, flags, true);
  view.setBigUint64(8, BigInt(addresses.descriptors), true);
  view.setBigUint64(16, BigInt(addresses.used), true);
  view.setBigUint64(24, BigInt(addresses.available), true);
  return new Uint8Array(view.buffer);
}

/** The payload of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. */
export function encodeRingDescriptor(ring: number, { hasDescriptor = true } = {}): Uint8Array {
  return encodeU64(BigInt(ring) | (hasDescriptor ? 0n : NO_DESCRIPTOR));
}

function writeRegion(view: DataView, offset: number, region: RegionDescription): void {
  view.setBigUint64(offset, BigInt(region.guestAddress), true);
  view.setBigUint64(offset + 8, BigInt(region.size), true);
  view.setBigUint64(offset + 16, BigInt(region.userAddress), true);
  view.setBigUint64(offset + 24, BigInt(region.mmapOffset), true);
}

/** Section "Multiple Memory regions description". */
export function encodeRegions(regions: readonly RegionDescription[]): Uint8Array {
  const bytes = REGIONS_HEADER_BYTES + regions.length * REGION_BYTES;
  const view = new DataView(new ArrayBuffer(bytes));
  view.setUint32(0, regions.length, true);
  for (const [index, region] of regions.entries()) {
    writeRegion(view, REGIONS_HEADER_BYTES + index * REGION_BYTES, region);
  }
  return new Uint8Array(view.buffer);
}

/** Section "Single memory region description". */
export function encodeRegion(region: RegionDescription): Uint8Array {
  const view = new DataView(new ArrayBuffer(ONE_REGION_BYTES));
  writeRegion(view, REGION_PADDING_BYTES, region);
  return new Uint8Array(view.buffer);
}

/** Section "Virtio device config space". */
export function encodeConfig(offset: number, bytes: Uint8Array, flags = 0): Uint8Array {
  const payload = new Uint8Array(CONFIG_HEADER_BYTES + bytes.length);
  const view = viewOf(payload);
  view.setUint32(0, offset, true);
  view.setUint32(4, bytes.length, true);
  view.setUint32(8, flags, true);
  payload.set(bytes, CONFIG_HEADER_BYTES);
  return payload;
}
