/**
 * Network links over netlink: `struct ifinfomsg`, 16 bytes, then attributes (rtnetlink(7);
 * linux/rtnetlink.h, linux/if_link.h).
 *
 *     u8 family   u8 0   u16 hardware type   i32 index   u32 flags   u32 mask of the flags that change
 */
import { VsockboxError } from "../../errors.ts";
import {
  decodeAttributes,
  encodeAttributes,
  type NetlinkAttribute,
  textAttribute,
} from "./attributes.ts";

/** Types of messages about links. */
export const LinkMessage = { New: 16, Delete: 17, Get: 18 } as const;

/** sizeof(struct ifinfomsg). */
const LINK_HEADER_BYTES = 16;
/** IFF_UP, linux/if.h. */
const UP = 1;

/** Attributes: IFLA_IFNAME, IFLA_LINKINFO, and IFLA_INFO_KIND in the latter. */
const LinkAttribute = { Name: 3, Info: 18 } as const;
const KIND_OF_INFO = 1;

/** A link. */
export interface Link {
  index: number;
  name: string;
  /** The name of its driver, such as `vsockmon` or `dummy`; undefined for hardware. */
  kind: string | undefined;
  isUp: boolean;
}

function encodeLink(index: number, flags: number, attributes: NetlinkAttribute[]): Uint8Array {
  const encoded = encodeAttributes(attributes);
  const payload = new Uint8Array(LINK_HEADER_BYTES + encoded.length);
  const view = new DataView(payload.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, flags, true);
  payload.set(encoded, LINK_HEADER_BYTES);
  return payload;
}

/** Returns the payload that makes a new link, which is up at once. */
export function encodeNewLink(name: string, kind: string): Uint8Array {
  return encodeLink(0, UP, [
    { type: LinkAttribute.Name, value: name },
    { type: LinkAttribute.Info, value: [{ type: KIND_OF_INFO, value: kind }] },
  ]);
}

/** Returns the payload that names a link by its index; 0: all links, for a dump. */
export function encodeLinkIndex(index: number): Uint8Array {
  return encodeLink(index, 0, []);
}

/** Returns the payload that names a link by its name. */
export function encodeLinkName(name: string): Uint8Array {
  return encodeLink(0, 0, [{ type: LinkAttribute.Name, value: name }]);
}

/**
 * Reads the payload of a message about a link.
 *
 * @throws {VsockboxError} BAD_DATA if it is shorter than its header, or has broken attributes.
 */
export function decodeLink(payload: Uint8Array): Link {
  if (payload.length < LINK_HEADER_BYTES) {
    const message = `it has ${payload.length} of ${LINK_HEADER_BYTES} bytes`;
    throw new VsockboxError({ code: "BAD_DATA", operation: "read link", message });
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const attributes = decodeAttributes(payload.subarray(LINK_HEADER_BYTES));
  const info = attributes.get(LinkAttribute.Info);
  return {
    index: view.getInt32(4, true),
    name: textAttribute(attributes, LinkAttribute.Name) ?? "",
    kind: info === undefined ? undefined : textAttribute(decodeAttributes(info), KIND_OF_INFO),
    isUp: (view.getUint32(8, true) & UP) !== 0,
  };
}
