/** Anonymous memory with a descriptor: memfd_create(2). */
import { writeSync } from "node:fs";
import { systemError } from "./errno.ts";
import { cString, lastErrno, libc, ptr } from "./libc.ts";

/** linux/memfd.h. The second lets its holders forbid that it shrinks. */
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;

/**
 * An empty file in memory.
 *
 * @param name as /proc/PID/fd shows it.
 * @throws {VsockboxError} IO.
 */
export function createMemory(name: string, flags: number): number {
  const text = cString(name);
  const fd = libc().memfd_create(ptr(text), flags);
  if (fd < 0) throw systemError(lastErrno(), { operation: "open memory", code: "IO" });
  return fd;
}

/**
 * A descriptor whose file is these bytes, to be read from its beginning; not closed on execve(2), so
 * that the next program can read it.
 *
 * @param name as /proc/PID/fd shows it.
 * @throws {VsockboxError} IO.
 */
export function openMemory(name: string, bytes: Uint8Array): number {
  const fd = createMemory(name, 0);
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, written);
  }
  return fd;
}
