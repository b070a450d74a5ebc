/**
 * The two socket addresses that vsockbox uses, laid out byte for byte. Both are in host byte order,
 * which is little-endian on every architecture that Bun runs on.
 */
import { VsockboxError } from "../errors.ts";

/** AF_UNIX, bits/socket.h. */
export const AF_UNIX = 1;
/** AF_VSOCK, bits/socket.h. */
export const AF_VSOCK = 40;

/** sizeof(struct sockaddr_vm), linux/vm_sockets.h. */
export const SOCKADDR_VM_BYTES = 16;
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
          ? `it is ${name.length} bytes long, the kernel takes ${UNIX_PATH_MAX_BYTES}`
          : "it is empty or has a NUL byte",
      hint: "use a shorter path, or change the directory first and use a relative one",
    });
  }
  const bytes = new Uint8Array(SOCKADDR_UN_BYTES);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

/** The path in a `struct sockaddr_un`; empty for an unnamed socket. */
export function decodeSockaddrUn(bytes: Uint8Array): string {
  const path = bytes.subarray(2);
  const end = path.indexOf(0);
  return new TextDecoder().decode(end === -1 ? path : path.subarray(0, end));
}
