/** Memory to be handed to another process. */
import { ftruncateSync } from "node:fs";
import { createMemory, MFD_ALLOW_SEALING, MFD_CLOEXEC } from "../../src/ffi/memfd.ts";

export { MFD_ALLOW_SEALING } from "../../src/ffi/memfd.ts";

/** A memfd of zeros; the caller's to close. */
export function openMemory(size: number, flags: number = MFD_ALLOW_SEALING): number {
  const fd = createMemory("test", MFD_CLOEXEC | flags);
  ftruncateSync(fd, size);
  return fd;
}
