/** Handing descriptors to another process over a Unix socket: SCM_RIGHTS, unix(7) and cmsg(3). */
import { ERRNO, systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** sizeof(struct msghdr) and sizeof(struct cmsghdr) on 64-bit architectures. */
const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;
/** Control messages have sizes of multiples of this, CMSG_ALIGN. */
const CMSG_ALIGN = 8;
/** EPIPE as a return value, not as a signal. */
const MSG_NOSIGNAL = 0x4000;

/**
 * sendmsg(2): bytes over the Unix socket `through`, and descriptors with the first of them.
 *
 * @returns the number of bytes sent, or the errno as a negative number.
 */
export function sendWithDescriptors(
  through: number,
  data: Uint8Array,
  fds: readonly number[],
): number {
  const used = CMSGHDR_BYTES + fds.length * 4;
  const control = new DataView(new ArrayBuffer(Math.ceil(used / CMSG_ALIGN) * CMSG_ALIGN));
  control.setBigUint64(0, BigInt(used), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  for (const [index, fd] of fds.entries()) control.setInt32(CMSGHDR_BYTES + index * 4, fd, true);
  const iovec = new BigUint64Array([BigInt(ptr(data)), BigInt(data.length)]);
  const message = new DataView(new ArrayBuffer(MSGHDR_BYTES));
  message.setBigUint64(16, BigInt(ptr(iovec)), true);
  message.setBigUint64(24, 1n, true);
  if (fds.length > 0) {
    message.setBigUint64(32, BigInt(ptr(control)), true);
    message.setBigUint64(40, BigInt(control.byteLength), true);
  }
  const held = { data, iovec, control };
  for (;;) {
    const count = Number(libc().sendmsg(through, ptr(message), MSG_NOSIGNAL));
    // Only addresses of these went to the kernel: they have to live as long as the call.
    if (count >= 0 && held.iovec.length > 0) return count;
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) return -errno;
  }
}

/**
 * Sends `fd` with one byte of data over the Unix socket `through`, as ssh's ProxyUseFdpass expects.
 *
 * @throws {VsockboxError} IO, with ENOTSOCK if `through` is not a socket.
 */
export function sendDescriptor(through: number, fd: number): void {
  const count = sendWithDescriptors(through, new Uint8Array(1), [fd]);
  if (count >= 0) return;
  throw systemError(-count, {
    operation: "hand over the descriptor through",
    address: "standard output",
    code: "IO",
    hint: "--fdpass is for ssh's `ProxyUseFdpass yes`, which makes standard output a socket",
  });
}
