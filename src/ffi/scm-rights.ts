/** Handing a descriptor to another process over a Unix socket: SCM_RIGHTS, unix(7) and cmsg(3). */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** CMSG_SPACE(sizeof(int)) on 64-bit machines: a 16-byte header, 4 bytes of data, 4 of padding. */
const CMSG_SPACE_BYTES = 24;
/** CMSG_LEN(sizeof(int)). */
const CMSG_LEN_BYTES = 20;
/** sizeof(struct msghdr) on 64-bit machines. */
const MSGHDR_BYTES = 56;

/**
 * Sends `fd` with one byte of data over the Unix socket `through`, as ssh's ProxyUseFdpass expects.
 *
 * @throws {VsockboxError} IO, with ENOTSOCK where `through` is no socket.
 */
export function sendDescriptor(through: number, fd: number): void {
  const data = new Uint8Array(1);
  const iovec = BigUint64Array.from([BigInt(ptr(data)), 1n]);
  const control = new DataView(new ArrayBuffer(CMSG_SPACE_BYTES));
  control.setBigUint64(0, BigInt(CMSG_LEN_BYTES), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  control.setInt32(16, fd, true);
  const message = new DataView(new ArrayBuffer(MSGHDR_BYTES));
  message.setBigUint64(16, BigInt(ptr(iovec)), true);
  message.setBigUint64(24, 1n, true);
  message.setBigUint64(32, BigInt(ptr(control)), true);
  message.setBigUint64(40, BigInt(CMSG_SPACE_BYTES), true);
  if (Number(libc().sendmsg(through, ptr(message), 0)) < 0) {
    throw systemError(lastErrno(), {
      operation: "hand over the descriptor through",
      address: "standard output",
      code: "IO",
      hint: "--fdpass is for ssh's `ProxyUseFdpass yes`, which makes standard output a socket",
    });
  }
}
