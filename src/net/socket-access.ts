/** Who may connect to a Unix socket: the mode and owner of its file, unix(7). */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";

/** Mode and owner that differ from 0600 and this user. */
export interface SocketAccess {
  mode?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
}

/** asm-generic/fcntl.h: names a file without opening it, which sockets do not allow. */
const O_PATH = 0o10000000;

/**
 * Gives the socket that this process has just bound its owner and mode. If that fails the file is
 * removed again.
 *
 * @throws {VsockboxError} REFUSED without the right to it, else CANNOT_CREATE.
 */
export function applyAccess(path: string, access: SocketAccess): void {
  const { mode, uid, gid } = access;
  if (mode === undefined && uid === undefined && gid === undefined) return;
  // Not by its path: in a directory of others it may be something else by the next call.
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    const found = checkOwn(fd, path);
    const held = `/proc/self/fd/${fd}`;
    try {
      if (uid !== undefined || gid !== undefined) {
        chownSync(held, uid ?? found.uid, gid ?? found.gid);
      }
      if (mode !== undefined) chmodSync(held, mode);
    } catch (thrown) {
      unlinkSync(path);
      throw explained(thrown, path, access);
    }
  } finally {
    closeSync(fd);
  }
}

function checkOwn(fd: number, path: string): Stats {
  const status = fstatSync(fd);
  const isOwn = status.isSocket() && status.nlink === 1 && status.uid === process.geteuid?.();
  if (isOwn) return status;
  throw new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "listen on",
    address: path,
    message: "another process has replaced the file",
  });
}

function explained(thrown: unknown, path: string, { uid, gid }: SocketAccess): VsockboxError {
  const { errno, message } = reasonOf(thrown);
  const isRefused = errno === "EPERM" || errno === "EACCES";
  const who = uid === undefined ? `group ${gid}` : `user ${uid}`;
  return new VsockboxError({
    code: isRefused ? "REFUSED" : "CANNOT_CREATE",
    operation: `grant ${who} access to`,
    address: path,
    message,
    errno,
    hint: isRefused
      ? "another user needs root (CAP_CHOWN), a group needs root or that you are in it"
      : undefined,
    cause: thrown,
  });
}
