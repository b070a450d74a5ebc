/**
 * Who listens on a Unix socket, by SO_PEERCRED: the credentials of the process at its listen(2). The
 * owner of the socket's file proves less, since a directory that others may write to, such as /tmp,
 * lets any of them replace the file, or be first to make it.
 */
import { VsockboxError } from "../errors.ts";
import { socketPeerUid } from "../ffi/credentials.ts";

/** Users besides our own and root whose sockets are connected to; `any`: of all users. */
export type SocketOwners = "any" | readonly number[];

/** A Unix socket on which another user listens. */
export class SocketOwnerError extends VsockboxError {
  /** The user who listens there. */
  readonly uid: number;

  constructor(address: string, uid: number, ownUid: number) {
    super({
      code: "REFUSED",
      step: "connect",
      operation: "connect",
      address,
      message: `user ${uid} listens there, neither this process's user (${ownUid}) nor root`,
    });
    this.uid = uid;
  }
}

/** Whether a socket on which `uid` listens may be connected to by a process of `ownUid`. */
export function isTrustedOwner(uid: number, ownUid: number, allowed: SocketOwners): boolean {
  return uid === 0 || uid === ownUid || allowed === "any" || allowed.includes(uid);
}

/**
 * Returns the user who listens at the other end of a connected Unix socket, if it is one who is not
 * trusted; else undefined.
 */
export function untrustedOwner(fd: number, allowed: SocketOwners): number | undefined {
  const uid = socketPeerUid(fd);
  return isTrustedOwner(uid, processUid(), allowed) ? undefined : uid;
}

/**
 * Refuses a connected Unix socket on which a user listens who is not trusted.
 *
 * @throws {SocketOwnerError} REFUSED.
 */
export function assertTrustedOwner(fd: number, address: string, allowed: SocketOwners): void {
  const uid = untrustedOwner(fd, allowed);
  if (uid !== undefined) throw new SocketOwnerError(address, uid, processUid());
}

function processUid(): number {
  return process.geteuid?.() ?? 0;
}
