/** Messages and their payloads as bytes: our answers, and requests as a VMM sends them. */
import {
  CONFIG_HEADER_BYTES,
  VHOST_USER_HEADER_BYTES,
  HeaderFlag,
  NO_DESCRIPTOR,
  ONE_REGION_BYTES,
  REGION_BYTES,
  REGION_PADDING_BYTES,
  type RegionDescription,
  REGIONS_HEADER_BYTES,
  Request,
  type RequestName,
  type RingAddresses,
  viewOf,
  VRING_ADDRESS_BYTES,
  VRING_STATE_BYTES,
} from "./wire.ts";

function encode(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(VHOST_USER_HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, request, true);
  view.setUint32(4, HeaderFlag.Version | flags, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, VHOST_USER_HEADER_BYTES);
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
