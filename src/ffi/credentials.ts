/** Changing the user of this process, and becoming another program. */
import { systemError } from "./errno.ts";
import { cString, cStringVector, lastErrno, libc, ptr } from "./libc.ts";

/** Ids to take on. */
export interface Credentials {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/**
 * setgroups(2), setgid(2), setuid(2), in this order, since each takes away the right to the one
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
  if (libc().setgid(gid) < 0) throw systemError(lastErrno(), { operation: "setgid", address });
  if (libc().setuid(uid) < 0) throw systemError(lastErrno(), { operation: "setuid", address });
}

/**
 * execve(2): this process becomes `path`. Returns only by throwing.
 *
 * @throws {VsockboxError} CONFIG with the errno.
 */
export function replaceProcess(
  path: string,
  argv: readonly (string | Uint8Array)[],
  env: readonly string[],
): never {
  const [arguments_, environment] = [cStringVector(argv), cStringVector(env)];
  restoreSignals();
  libc().execve(ptr(cString(path)), ptr(arguments_.vector), ptr(environment.vector));
  throw systemError(lastErrno(), { operation: "run", address: path, code: "CONFIG" });
}

/** Highest signal number on Linux, SIGRTMAX. */
export const SIGNAL_MAX = 64;

/** The runtime ignores SIGPIPE and others, and an ignored signal stays ignored across execve(2). */
function restoreSignals(): void {
  const defaultAction = null;
  for (let signal = 1; signal <= SIGNAL_MAX; signal++) libc().signal(signal, defaultAction);
}
