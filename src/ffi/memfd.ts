/** Memory behind a descriptor, which the next program after execve(2) can read: memfd_create(2). */
import { writeSync } from "node:fs";
import { systemError } from "./errno.ts";
import { cString, lastErrno, libc, ptr } from "./libc.ts";

/**
 * A descriptor whose file is these bytes, to be read from its beginning; not closed on execve(2).
 *
 * @param name as /proc/PID/fd shows it.
 * @throws {VsockboxError} IO.
 */
export function openMemory(name: string, bytes: Uint8Array): number {
  const text = cString(name);
  const fd = libc().memfd_create(ptr(text), 0);
  if (fd < 0) throw systemError(lastErrno(), { operation: "open memory", code: "IO" });
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, written);
  }
  return fd;
}
