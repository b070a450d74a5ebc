/**
 * Messages of netlink, the kernel's socket interface for its own tables (netlink(7), RFC 3549;
 * linux/netlink.h).
 *
 * A datagram has one or more messages. Each begins at a multiple of 4 bytes with `struct nlmsghdr`:
 *
 *     u32 length (with this header)   u16 type   u16 flags   u32 sequence   u32 port
 *
 * Numbers are in host byte order, which is little-endian on every architecture that Bun runs on. Types
 * below 16 belong to netlink itself: `Error` answers a request with a negative errno, or with 0 if the
 * request asked for an acknowledgement; `Done` ends the answer to a dump, whose messages have the flag
 * `Multi`. With `Extended` set, an error has attributes after the request that it quotes: a text, and the
 * offset of the field that was refused. `Capped` means that only the request's header is quoted.
 */
import { VsockboxError } from "../../errors.ts";
import { decodeAttributes, textAttribute } from "./attributes.ts";

/** sizeof(struct nlmsghdr). */
const NLMSG_HEADER_BYTES = 16;

/** Messages begin at multiples of this, NLMSG_ALIGNTO. */
const ALIGN_BYTES = 4;

/** Types of messages that belong to netlink itself. */
export const NetlinkType = { Noop: 1, Error: 2, Done: 3, Overrun: 4 } as const;

/** Flags of requests and answers; some bits mean something else in each kind. */
export const NetlinkFlag = {
  Request: 0x1,
  Multi: 0x2,
  Ack: 0x4,
  /** The table changed during the dump, which may have missed entries. */
  DumpInterrupted: 0x10,
  /** Of an error: the request's payload is not quoted. */
  Capped: 0x100,
  /** Of an error: attributes follow. */
  Extended: 0x200,
  /** Of a request: return all entries; NLM_F_ROOT and NLM_F_MATCH. */
  Dump: 0x300,
  /** Of a request for a new object: fail if it exists. */
  Exclusive: 0x200,
  /** Of a request for a new object: create it. */
  Create: 0x400,
} as const;

/** NLMSGERR_ATTR_MSG: the kernel's reason, as text. */
const ERROR_ATTRIBUTE_TEXT = 1;

/** One message; `payload` is a view of the datagram. */
export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  /** The netlink port of the receiver of an answer; 0 for the kernel. */
  port: number;
  payload: Uint8Array;
}

/** Returns a count of bytes rounded up to the alignment of messages and attributes. */
function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read netlink message", message });
}

/** Returns one message as a datagram. */
export function encodeNetlinkMessage({
  type,
  flags,
  sequence,
  port,
  payload,
}: NetlinkMessage): Uint8Array {
  const bytes = new Uint8Array(aligned(NLMSG_HEADER_BYTES + payload.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, NLMSG_HEADER_BYTES + payload.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  view.setUint32(12, port, true);
  bytes.set(payload, NLMSG_HEADER_BYTES);
  return bytes;
}

/**
 * Reads the messages of a datagram. The padding of the last one may be missing.
 *
 * @throws {VsockboxError} BAD_DATA if a length is shorter than the header or exceeds the datagram.
 */
export function decodeNetlinkMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < datagram.length;) {
    if (at + NLMSG_HEADER_BYTES > datagram.length) throw bad("its header is incomplete");
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER_BYTES || at + length > datagram.length) {
      throw bad(`its length is ${length} of ${datagram.length - at} bytes`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      payload: datagram.subarray(at + NLMSG_HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** How the kernel ended a request. */
export interface NetlinkOutcome {
  /** A positive errno; 0 for success. */
  errno: number;
  /** The kernel's reason in words, if it has sent one. */
  text: string | undefined;
}

/**
 * Reads the payload of an `Error` or a `Done`, which is an error code and, with `Extended`, attributes.
 *
 * @throws {VsockboxError} BAD_DATA if an `Error` is shorter than its code and the quoted header.
 */
export function decodeOutcome({ type, flags, payload }: NetlinkMessage): NetlinkOutcome {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const isError = type === NetlinkType.Error;
  const quotedAt = 4;
  if (isError && payload.length < quotedAt + NLMSG_HEADER_BYTES) {
    throw bad("its error is incomplete");
  }
  // A Done without a code was sent by kernels before 4.13 for some tables.
  const code = payload.length < quotedAt ? 0 : view.getInt32(0, true);
  // Positive in the Done of old dumps that counted what they sent.
  const errno = Math.max(0, -code);
  if ((flags & NetlinkFlag.Extended) === 0) return { errno, text: undefined };
  const isWhole = isError && code !== 0 && (flags & NetlinkFlag.Capped) === 0;
  const quotedBytes = isWhole ? view.getUint32(quotedAt, true) : NLMSG_HEADER_BYTES;
  const attributesAt = quotedAt + (isError ? aligned(quotedBytes) : 0);
  const attributes = decodeAttributes(payload.subarray(attributesAt));
  return { errno, text: textAttribute(attributes, ERROR_ATTRIBUTE_TEXT) };
}
