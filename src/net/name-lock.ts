/**
 * A lock by name among the processes of this user and root in a network namespace: a Unix socket that
 * listens on an abstract name, unix(7). The kernel releases it at the end of the process, however that
 * ends. Any user may bind such a name, so who holds it is found by SO_PEERCRED.
 */
import { VsockboxError } from "../errors.ts";
import { ERRNO } from "../ffi/errno.ts";
import { AF_UNIX, encodeUnixName } from "../ffi/sockaddr.ts";
import {
  bindSocket,
  closeDescriptor,
  listenSocket,
  openSocket,
  SOCK_STREAM,
  startConnect,
} from "../ffi/socket.ts";
import { untrustedOwner } from "./socket-owner.ts";

/** The lock, to be disposed; `held` by another process of this user or root; `occupied` by another user. */
export type NameLock = Disposable | "held" | "occupied";

/**
 * Locks a name.
 *
 * @throws {VsockboxError} IO, USAGE for a name that is too long.
 */
export function lockName(name: string): NameLock {
  const address = `@${name}`;
  const sockaddr = encodeUnixName(address);
  const fd = openSocket(AF_UNIX, SOCK_STREAM, address);
  try {
    bindSocket(fd, sockaddr, { operation: "lock", address });
    listenSocket(fd, { operation: "lock", address });
  } catch (thrown) {
    closeDescriptor(fd);
    const isInUse = thrown instanceof VsockboxError && thrown.errno === "EADDRINUSE";
    if (isInUse) return holderOf(sockaddr, address);
    throw thrown;
  }
  return { [Symbol.dispose]: () => closeDescriptor(fd) };
}

function holderOf(sockaddr: Uint8Array, address: string): "held" | "occupied" {
  const fd = openSocket(AF_UNIX, SOCK_STREAM, address);
  try {
    switch (startConnect(fd, sockaddr)) {
      case 0:
        return untrustedOwner(fd, []) === undefined ? "held" : "occupied";
      case ERRNO.EAGAIN:
        // Its backlog is full, as that of a lock is which many processes have asked for.
        return "held";
      default:
        // It does not listen, so it is not a lock.
        return "occupied";
    }
  } finally {
    closeDescriptor(fd);
  }
}
