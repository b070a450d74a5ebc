/**
 * The vhost-user protocol's messages on the wire, as far as a vsock device sees them:
 * docs/interop/vhost-user.rst of QEMU. Section names here and in the files beside this one are that
 * document's.
 *
 * All numbers are little-endian ("Message Specification": the native order, and both architectures
 * of vsockbox are little-endian). All of it comes from a VMM that is not trusted.
 */
import { VsockboxError } from "../../errors.ts";

/** u32 request, u32 flags, u32 size of the payload; section "Header". */
export const VHOST_USER_HEADER_BYTES = 12;

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

/** All of {@link HeaderFlag}. */
export const KNOWN_FLAGS = HeaderFlag.VersionMask | HeaderFlag.Reply | HeaderFlag.NeedReply;

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

/** The request's name; undefined for a number that has none here. */
export function knownRequest(request: number): RequestName | undefined {
  return NAMES.get(request);
}

/** The request's name for messages; its number if it has none. */
function requestName(request: number): string {
  return knownRequest(request) ?? `request ${request}`;
}

/** Section "A vring state description": u32 index, u32 num. */
export const VRING_STATE_BYTES = 8;
/** Section "A vring address description": two u32 and four u64. */
export const VRING_ADDRESS_BYTES = 40;
/** Section "Memory region description": four u64. */
export const REGION_BYTES = 32;
/** Section "Multiple Memory regions description": u32 count, u32 padding. */
export const REGIONS_HEADER_BYTES = 8;
/** Section "Single memory region description": u64 padding. */
export const REGION_PADDING_BYTES = 8;
/** Padding and region. */
export const ONE_REGION_BYTES = REGION_PADDING_BYTES + REGION_BYTES;
/** Section "Virtio device config space": u32 offset, u32 size, u32 flags. */
export const CONFIG_HEADER_BYTES = 12;
/** Section "Log description": u64 size, u64 offset. */
export const LOG_BYTES = 16;

/** Section "VHOST_USER_SET_VRING_KICK": bits 0 to 7 are the ring, bit 8 means that no descriptor follows. */
export const RING_MASK = 0xffn;
/** See {@link RING_MASK}. */
export const NO_DESCRIPTOR = 0x100n;

/** The error for a message that is not what the protocol allows. */
export function badVhostUserMessage(request: number, message: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: `handle vhost-user ${requestName(request)}`,
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
  /** The guest's physical address. */
  guestAddress: number;
  /** In bytes. */
  size: number;
  /** The VMM's address, in which ring addresses are expressed. */
  userAddress: number;
  /** Offset in its descriptor. */
  mmapOffset: number;
}

/** A ring's three parts as addresses of the VMM ("user" addresses). */
export interface RingAddresses {
  descriptors: number;
  used: number;
  available: number;
}

/** The bytes for reading and writing numbers. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
