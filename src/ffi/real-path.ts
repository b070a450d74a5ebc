/** realpath(3), which unlike the runtime's own does without /proc. */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

/** PATH_MAX of linux/limits.h, with the zero. */
const PATH_MAX = 4096;

/**
 * The absolute path without links, in bytes.
 *
 * @throws {VsockboxError} IO with the errno name.
 */
export function realPathOf(path: Uint8Array): Buffer {
  const name = Buffer.concat([path, Buffer.alloc(1)]);
  const resolved = Buffer.alloc(PATH_MAX);
  if (libc().realpath(ptr(name), ptr(resolved)) === null) {
    throw systemError(lastErrno(), { code: "IO", operation: "resolve" });
  }
  return resolved.subarray(0, resolved.indexOf(0));
}
