/** Changing the user of this process, and becoming another program. */
import { systemError } from "./errno.ts";
import { getOption } from "./socket.ts";
import { cString, cStringVector, IGNORE_SIGNAL, lastErrno, libc, ptr } from "./libc.ts";

/** Ids of the user to become. */
export interface Credentials {
  uid: number;
  gid: number;
  groups: readonly number[];
}

const SOL_SOCKET = 1;
/** SO_PEERCRED and struct ucred (pid, uid, gid), bits/socket.h; the same on x86-64 and arm64. */
const SO_PEERCRED = 17;
const UCRED_BYTES = 12;
const UCRED_UID_OFFSET = 4;

/**
 * The effective uid of the process at the other end of a connected Unix socket, as it was when that
 * process listened. A user without a number in this user namespace is the overflow uid, 65534.
 *
 * @throws {VsockboxError} REFUSED, UNAVAILABLE with the errno.
 */
export function socketPeerUid(fd: number): number {
  const call = { operation: "read the peer's credentials" } as const;
  const value = getOption(fd, SOL_SOCKET, SO_PEERCRED, UCRED_BYTES, call);
  return new DataView(value.buffer).getUint32(UCRED_UID_OFFSET, true);
}

/**
 * setgroups(2), setgid(2), setuid(2), in this order, since each drops the right to the one
 * before.
 *
 * @throws {VsockboxError} REFUSED (EPERM).
 */
export function becomeUser({ uid, gid, groups }: Credentials): void {
  const list = Uint32Array.from(groups.length === 0 ? [0] : groups);
  const address = `${uid}:${gid}`;
  if (libc().setgroups(groups.length, ptr(list)) < 0) {
    throw systemError(lastErrno(), { operation: "set the groups of", address });
  }
  if (libc().setgid(gid) < 0)
    throw systemError(lastErrno(), { operation: "set the group to", address });
  if (libc().setuid(uid) < 0)
    throw systemError(lastErrno(), { operation: "set the user to", address });
}

/**
 * chdir(2).
 *
 * @throws {VsockboxError} CONFIG with the errno.
 */
export function changeDirectory(path: Uint8Array): void {
  if (libc().chdir(ptr(cString(path))) === 0) return;
  const address = new TextDecoder().decode(path);
  throw systemError(lastErrno(), { operation: "change to directory", address, code: "CONFIG" });
}

/**
 * execve(2): this process becomes `path`. Returns only by throwing.
 *
 * @param keptIgnored numbers of signals that the new program begins with ignored; all others begin with
 * their default actions.
 * @throws {VsockboxError} CONFIG with the errno.
 */
export function replaceProcess(
  path: string | Uint8Array,
  argv: readonly (string | Uint8Array)[],
  env: readonly (string | Uint8Array)[],
  keptIgnored: readonly number[] = [],
): never {
  const [arguments_, environment] = [cStringVector(argv), cStringVector(env)];
  restoreSignals();
  for (const signal of keptIgnored) libc().signal(signal, IGNORE_SIGNAL);
  libc().execve(ptr(cString(path)), ptr(arguments_.vector), ptr(environment.vector));
  const errno = lastErrno();
  const address = typeof path === "string" ? path : new TextDecoder().decode(path);
  throw systemError(errno, { operation: "run", address, code: "CONFIG" });
}

/** Highest signal number on Linux, SIGRTMAX. */
export const SIGNAL_MAX = 64;

/** The runtime ignores SIGPIPE and others, and an ignored signal stays ignored across execve(2). */
function restoreSignals(): void {
  const defaultAction = null;
  for (let signal = 1; signal <= SIGNAL_MAX; signal++) libc().signal(signal, defaultAction);
}
