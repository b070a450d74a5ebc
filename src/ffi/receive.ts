/** Receiving from sockets beyond read(2): descriptors with the bytes, and MSG_PEEK. */
import { ERRNO } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** recv(2) flags. */
const MSG_PEEK = 0x2;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;

/** Size of the control buffer: the kernel sends at most 253 descriptors at once, SCM_MAX_FD. */
const CONTROL_BYTES = 16 + 256 * 4;
/** sizeof(struct msghdr) and sizeof(struct cmsghdr) on 64-bit architectures. */
const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;
/** Control messages begin at multiples of this, CMSG_ALIGN. */
const CMSG_ALIGN = 8;

/** The result of one recvmsg(2). */
export interface Received {
  /** The count of bytes, 0 at end of input, or the errno as a negative number. */
  count: number;
  /** Descriptors that came along, close-on-exec; the caller's to close. */
  fds: number[];
}

// Laid out once and kept: what only its address refers to could be collected before the call.
const control = new DataView(new ArrayBuffer(CONTROL_BYTES));
const iovec = new DataView(new ArrayBuffer(16));
const message = new DataView(new ArrayBuffer(MSGHDR_BYTES));

/** recvmsg(2) with SCM_RIGHTS, without waiting: at most `buffer.length` bytes. */
export function receiveWithDescriptors(fd: number, buffer: Uint8Array): Received {
  iovec.setBigUint64(0, BigInt(ptr(buffer)), true);
  iovec.setBigUint64(8, BigInt(buffer.length), true);
  for (;;) {
    message.setBigUint64(16, BigInt(ptr(iovec)), true);
    message.setBigUint64(24, 1n, true);
    message.setBigUint64(32, BigInt(ptr(control)), true);
    message.setBigUint64(40, BigInt(CONTROL_BYTES), true);
    const count = Number(libc().recvmsg(fd, ptr(message), MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
    if (count >= 0) return { count, fds: descriptorsOf() };
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) return { count: -errno, fds: [] };
  }
}

function descriptorsOf(): number[] {
  const length = Number(message.getBigUint64(40, true));
  const fds: number[] = [];
  for (let at = 0; at + CMSGHDR_BYTES <= length;) {
    const size = Number(control.getBigUint64(at, true));
    if (size < CMSGHDR_BYTES) break;
    const isRights =
      control.getInt32(at + 8, true) === SOL_SOCKET &&
      control.getInt32(at + 12, true) === SCM_RIGHTS;
    const end = isRights ? at + size : at;
    for (let fd = at + CMSGHDR_BYTES; fd + 4 <= end; fd += 4) {
      fds.push(control.getInt32(fd, true));
    }
    at += Math.ceil(size / CMSG_ALIGN) * CMSG_ALIGN;
  }
  return fds;
}

/** recv(2) with MSG_PEEK; returns the number of bytes, or the errno as a negative number. */
export function peekDescriptor(fd: number, buffer: Uint8Array): number {
  const count = Number(libc().recv(fd, ptr(buffer), buffer.length, MSG_PEEK | MSG_DONTWAIT));
  return count < 0 ? -lastErrno() : count;
}
