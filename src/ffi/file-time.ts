/** Times of files to the nanosecond, which the runtime's numbers lose: utimensat(2). */
import type { FileTime } from "../file-stat.ts";
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

/** Access and modification time, both the same: struct timespec[2], two i64 each. */
function timespecs({ seconds, nanoseconds }: FileTime): BigInt64Array {
  const time = [BigInt(seconds), BigInt(nanoseconds)];
  return BigInt64Array.from([...time, ...time]);
}

/**
 * Sets the time of an open file.
 *
 * @throws {VsockboxError} IO.
 */
export function setFileTime(fd: number, time: FileTime): void {
  if (libc().futimens(fd, ptr(timespecs(time))) === 0) return;
  throw systemError(lastErrno(), { operation: "set the time of", address: `descriptor ${fd}` });
}
