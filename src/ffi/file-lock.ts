/** Locks of open files that end with their process at the latest: flock(2). */
import { ERRNO, systemError } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";

/** sys/file.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Locks the file or directory for this descriptor until it is closed.
 *
 * @returns false if another one holds the lock.
 * @throws {VsockboxError} IO if the file system has no locks.
 */
export function tryLock(fd: number): boolean {
  if (libc().flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const errno = lastErrno();
  if (errno === ERRNO.EAGAIN) return false;
  throw systemError(errno, { operation: "lock", address: `descriptor ${fd}`, code: "IO" });
}
