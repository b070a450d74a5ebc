/** Memory to be handed to another process: memfd_create(2). */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { ftruncateSync } from "node:fs";
import { cString, LIBC_NAMES } from "../../src/ffi/libc.ts";

const MFD_CLOEXEC = 1;

/** Lets its holders forbid that it shrinks. */
export const MFD_ALLOW_SEALING = 2;

const { memfd_create } = dlopen(LIBC_NAMES[0], {
  memfd_create: { args: [FFIType.pointer, FFIType.u32], returns: FFIType.i32 },
}).symbols;

/** A memfd of zeros; the caller's to close. */
export function openMemory(size: number, flags = MFD_ALLOW_SEALING): number {
  const fd = memfd_create(ptr(cString("test")), MFD_CLOEXEC | flags);
  if (fd < 0) throw new Error("memfd_create has failed");
  ftruncateSync(fd, size);
  return fd;
}
