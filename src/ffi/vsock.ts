/** Constants, socket options and the local CID of AF_VSOCK. */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { AF_VSOCK } from "./sockaddr.ts";
import { assertVsockAllowed, closeDescriptor, openForReading, setOption } from "./socket.ts";

/** Socket options at level AF_VSOCK, linux/vm_sockets.h. */
const SO_VM_SOCKETS_BUFFER_SIZE = 0;
const SO_VM_SOCKETS_BUFFER_MAX_SIZE = 2;
const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;

/** IOCTL_VM_SOCKETS_GET_LOCAL_CID, linux/vm_sockets.h: _IO(7, 0xb9). */
export const IOCTL_VM_SOCKETS_GET_LOCAL_CID = 0x7b9;

/**
 * Receive buffer of every vsock socket of ours, in bytes: it is the credit (`buf_alloc`) that the
 * peer gets. The kernel's 256 KiB halves bulk throughput and lets few small packets queue up.
 */
export const VSOCK_BUFFER_BYTES = 1024 * 1024;

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/**
 * Asks for a receive buffer of `bytes` bytes: the maximum first, since the kernel clamps the size to
 * it. A refusal is not an error: the socket works with the kernel's default.
 */
export function setVsockBufferSize(fd: number, bytes: number): void {
  setOption(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, u64(bytes));
  setOption(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, u64(bytes));
}

/** How long the kernel waits for the peer's RESPONSE, in milliseconds; its default is 2,000. */
export function setVsockConnectTimeout(fd: number, milliseconds: number): void {
  const timeval = new Uint8Array(16);
  const view = new DataView(timeval.buffer);
  view.setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true);
  view.setBigInt64(8, BigInt(Math.floor((milliseconds % 1000) * 1000)), true);
  setOption(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, timeval);
}

/**
 * Returns the local CID, from the ioctl on /dev/vsock.
 *
 * @returns 4294967295 (VMADDR_CID_ANY) if no transport has assigned one.
 * @throws {VsockboxError} UNAVAILABLE if there is no /dev/vsock, REFUSED if its mode does not allow opening it.
 */
export function localCid(): number {
  const device = { step: "open_device", address: "/dev/vsock" } as const;
  assertVsockAllowed({ ...device, operation: "read the local CID from" });
  const fd = openForReading("/dev/vsock", {
    ...device,
    operation: "open",
    hint: "load the module: `modprobe vsock` (in a guest: vmw_vsock_virtio_transport; on a host: vhost_vsock)",
  });
  try {
    const cid = new Uint32Array(1);
    if (libc().ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, ptr(cid)) < 0) {
      throw systemError(lastErrno(), {
        step: "get_local_cid",
        operation: "read the local CID from",
        address: "/dev/vsock",
      });
    }
    return cid[0] ?? 0;
  } finally {
    closeDescriptor(fd);
  }
}
