/** tests/fixtures/guest-vsock.c as a file of a guest. */
import { join } from "node:path";
import type { GuestFile } from "../../src/vm/guest-image.ts";
import type { ScratchDirectory } from "./scratch-directory.ts";

/** Builds /bin/guest-vsock of a guest. Needs gcc and a libc to link statically. */
export function guestVsock(scratch: ScratchDirectory): GuestFile {
  const fixture = join(import.meta.dir, "../fixtures/guest-vsock.c");
  const source = scratch.file("guest-vsock");
  const { success, stderr } = Bun.spawnSync(["gcc", "-static", "-O2", "-o", source, fixture]);
  if (!success) throw new Error(`gcc: ${stderr.toString()}`);
  return { path: "bin/guest-vsock", source, mode: 0o755 };
}
