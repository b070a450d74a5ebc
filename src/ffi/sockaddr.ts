/**
 * The socket addresses that vsockbox uses, laid out byte for byte. Those of AF_UNIX and AF_VSOCK are in
 * host byte order, which is little-endian on every architecture that Bun runs on.
 */
import { VsockboxError } from "../errors.ts";

/** AF_UNIX, bits/socket.h. */
export const AF_UNIX = 1;
/** AF_INET, bits/socket.h. */
export const AF_INET = 2;
/** AF_INET6, bits/socket.h. */
export const AF_INET6 = 10;
/** AF_VSOCK, bits/socket.h. */
export const AF_VSOCK = 40;

/** sizeof(struct sockaddr_vm), linux/vm_sockets.h. */
export const SOCKADDR_VM_BYTES = 16;
/** sizeof(struct sockaddr_in), netinet/in.h. */
export const SOCKADDR_IN_BYTES = 16;
/** sizeof(struct sockaddr_in6), netinet/in.h. */
export const SOCKADDR_IN6_BYTES = 28;
/** sizeof(struct sockaddr_un), sys/un.h. */
export const SOCKADDR_UN_BYTES = 110;
/** Longest path of a Unix socket in bytes: sun_path[108] less the NUL, unix(7). */
export const UNIX_PATH_MAX_BYTES = 107;

/** VMADDR_FLAG_TO_HOST: route through the host to a sibling VM, linux/vm_sockets.h (Linux 5.11). */
export const VMADDR_FLAG_TO_HOST = 1;

/** struct sockaddr_vm without its family: u16 family, u16 0, u32 port, u32 cid, u8 flags, u8[3] 0. */
export interface VsockSockaddr {
  cid: number;
  port: number;
  flags?: number;
}

/** `struct sockaddr_vm` of the kernel, 16 bytes. */
export function encodeSockaddrVm({ cid, port, flags = 0 }: VsockSockaddr): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_VM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_VSOCK, true);
  view.setUint32(4, port, true);
  view.setUint32(8, cid, true);
  view.setUint8(12, flags);
  return bytes;
}

/** Reads what getpeername(2), getsockname(2) or accept4(2) wrote. */
export function decodeSockaddrVm(bytes: Uint8Array): Required<VsockSockaddr> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    port: view.getUint32(4, true),
    cid: view.getUint32(8, true),
    flags: view.getUint8(12),
  };
}

/**
 * `struct sockaddr_un` for a path in the file system, 110 bytes.
 *
 * @throws {VsockboxError} USAGE if the path is empty, has a NUL or is longer than 107 bytes.
 */
export function encodeSockaddrUn(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > UNIX_PATH_MAX_BYTES || name.includes(0)) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "use Unix socket path",
      address: JSON.stringify(path),
      message:
        name.length > UNIX_PATH_MAX_BYTES
          ? `it is ${name.length} bytes long, the limit is ${UNIX_PATH_MAX_BYTES}`
          : "it is empty or has a NUL byte",
      hint: "use a shorter path, or change the directory first and use a relative one",
    });
  }
  const bytes = new Uint8Array(SOCKADDR_UN_BYTES);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

/** Whether the name of a Unix socket is in the abstract namespace, unix(7): it begins with `@`. */
export function isAbstract(name: string): boolean {
  return name.startsWith("@");
}

/**
 * `struct sockaddr_un` for a path, or for `@` and a name in the abstract namespace.
 *
 * @throws {VsockboxError} USAGE as {@link encodeSockaddrUn}.
 */
export function encodeUnixName(name: string): Uint8Array {
  const sockaddr = encodeSockaddrUn(name);
  if (!isAbstract(name)) return sockaddr;
  // A leading NUL marks an abstract name, of which every byte counts.
  sockaddr[2] = 0;
  return sockaddr.subarray(0, 2 + new TextEncoder().encode(name).length);
}

/** The path in a `struct sockaddr_un`, or `@` and an abstract name; empty for an unnamed socket. */
export function decodeSockaddrUn(bytes: Uint8Array): string {
  const path = bytes.subarray(2);
  if (path[0] === 0 && path.length > 1) return `@${new TextDecoder().decode(path.subarray(1))}`;
  const end = path.indexOf(0);
  return new TextDecoder().decode(end === -1 ? path : path.subarray(0, end));
}

/** An IP address in the usual text form, without brackets, and a port. */
export interface InternetAddress {
  host: string;
  port: number;
}

/** The first 12 bytes of an IPv4 address in an IPv6 one, RFC 4291, section 2.5.5.2. */
const IPV4_MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** Reads a `struct sockaddr_in`: u16 family, then port and address in network byte order. */
export function decodeSockaddrIn(bytes: Uint8Array): InternetAddress {
  return { host: bytes.subarray(4, 8).join("."), port: portOf(bytes) };
}

/** Reads a `struct sockaddr_in6`; an IPv4-mapped address becomes an IPv4 one. */
export function decodeSockaddrIn6(bytes: Uint8Array): InternetAddress {
  const port = portOf(bytes);
  const address = bytes.subarray(8, 24);
  if (IPV4_MAPPED.every((byte, index) => address[index] === byte)) {
    return { host: address.subarray(12).join("."), port };
  }
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2).toString(16));
  // The URL standard has the canonical form of RFC 5952.
  return { host: new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1), port };
}

/**
 * `struct sockaddr_in` or `struct sockaddr_in6`, by the form of the address.
 *
 * @param address its host is IPv4 or IPv6 as text, without brackets; a zone is ignored.
 */
export function encodeSockaddrInternet({ host: address, port }: InternetAddress): Uint8Array {
  if (!address.includes(":")) {
    const bytes = new Uint8Array(SOCKADDR_IN_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, AF_INET, true);
    view.setUint16(2, port);
    bytes.set(address.split(".").map(Number), 4);
    return bytes;
  }
  const bytes = new Uint8Array(SOCKADDR_IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  for (const [index, group] of groupsOf(address).entries()) view.setUint16(8 + index * 2, group);
  return bytes;
}

/** The eight groups of an IPv6 address. The URL standard's form has hexadecimal groups and one `::`. */
function groupsOf(address: string): number[] {
  const [head = "", tail] = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname
    .slice(1, -1)
    .split("::");
  const numbers = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [before, after] = [numbers(head), numbers(tail ?? "")];
  return [
    ...before,
    ...Array.from({ length: 8 - before.length - after.length }, () => 0),
    ...after,
  ];
}

function portOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint16(2);
}
