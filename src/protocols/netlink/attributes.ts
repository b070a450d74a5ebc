/**
 * Attributes of netlink messages: `struct nlattr` of linux/netlink.h. Each begins at a multiple of 4 bytes
 * with u16 length (with these 4 bytes) and u16 type, whose two highest bits mark a nested attribute and
 * one in network byte order. A nested attribute's value is again attributes.
 */
import { VsockboxError } from "../../errors.ts";

/** sizeof(struct nlattr). */
const HEADER_BYTES = 4;
/** Attributes begin at multiples of this, NLA_ALIGNTO. */
const ALIGN_BYTES = 4;
/** Largest value, in bytes: the length is a u16. */
const MAX_VALUE_BYTES = 0xffff - HEADER_BYTES;
/** NLA_F_NESTED: the value is attributes. */
const NESTED = 0x8000;
/** NLA_TYPE_MASK: the type without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;

/** One attribute to send. */
export interface NetlinkAttribute {
  type: number;
  /** Text is sent in UTF-8 with a NUL after it; a list of attributes is nested. */
  value: Uint8Array | string | readonly NetlinkAttribute[];
}

/** The values of received attributes by type; of several of one type the last counts, as in the kernel. */
export type NetlinkAttributes = ReadonlyMap<number, Uint8Array>;

function bytesOf(value: NetlinkAttribute["value"]): Uint8Array {
  if (value instanceof Uint8Array) return value;
  return typeof value === "string"
    ? new TextEncoder().encode(`${value}\0`)
    : encodeAttributes(value);
}

function encodeAttribute({ type, value }: NetlinkAttribute): Uint8Array {
  const bytes = bytesOf(value);
  if (bytes.length > MAX_VALUE_BYTES) {
    throw new RangeError(`a netlink attribute of ${bytes.length} bytes is too long`);
  }
  const length = HEADER_BYTES + bytes.length;
  const encoded = new Uint8Array(Math.ceil(length / ALIGN_BYTES) * ALIGN_BYTES);
  const view = new DataView(encoded.buffer);
  view.setUint16(0, length, true);
  view.setUint16(2, Array.isArray(value) ? type | NESTED : type, true);
  encoded.set(bytes, HEADER_BYTES);
  return encoded;
}

/**
 * Returns the bytes of attributes, each padded to a multiple of 4 bytes.
 *
 * @throws {RangeError} if a value exceeds 65,531 bytes: a mistake of the caller's.
 */
export function encodeAttributes(attributes: readonly NetlinkAttribute[]): Uint8Array {
  return new Uint8Array(Buffer.concat(attributes.map(encodeAttribute)));
}

/**
 * Reads attributes, whose values are views of `bytes`. Fewer than 4 bytes at the end are ignored, as the
 * kernel does it.
 *
 * @throws {VsockboxError} BAD_DATA if a length is shorter than the header or exceeds the input.
 */
export function decodeAttributes(bytes: Uint8Array): NetlinkAttributes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes = new Map<number, Uint8Array>();
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) {
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "read netlink attribute",
        message: `its length is ${length} of ${bytes.length - at} bytes`,
      });
    }
    const type = view.getUint16(at + 2, true) & TYPE_MASK;
    attributes.set(type, bytes.subarray(at + HEADER_BYTES, at + length));
    at += Math.ceil(length / ALIGN_BYTES) * ALIGN_BYTES;
  }
  return attributes;
}

/** Returns an attribute's text up to its NUL; undefined if there is no such attribute. */
export function textAttribute(attributes: NetlinkAttributes, type: number): string | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end === -1 ? value : value.subarray(0, end));
}
