/** Files of a guest for the tests of mounts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readModule, resolveModules } from "../../src/initramfs/modules.ts";
import type { GuestFile } from "../../src/vm/guest-image.ts";
import type { Kernel } from "../../src/vm/kernel.ts";
import type { ScratchDirectory } from "./scratch-directory.ts";
import { findTool } from "./tools.ts";

/** Where FUSE's module is in the guest; it is not loaded at boot. */
const MODULE = "/usr/lib/modules-of-tests/fuse.ko";

/** The shell words that load FUSE, if the kernel does not have it built in. */
export const LOAD_FUSE = `{ [ ! -e ${MODULE} ] || [ -e /dev/fuse ] || insmod ${MODULE}; }`;

/** Returns tests/fixtures/guest-files.c as a program, FUSE's module, and git if it is installed. */
export function guestFiles(scratch: ScratchDirectory, kernel: Kernel): GuestFile[] {
  const fixture = join(import.meta.dir, "../fixtures/guest-files.c");
  const source = scratch.file("guest-files");
  const { success, stderr } = Bun.spawnSync(["gcc", "-static", "-O2", "-o", source, fixture]);
  if (!success) throw new Error(`gcc: ${stderr.toString()}`);
  const modules = resolveModules(kernel, ["fuse"]).map((module) => {
    const unpacked = scratch.file(`${module.name}.ko`);
    writeFileSync(unpacked, readModule(module));
    return { path: MODULE, source: unpacked, mode: 0o644 };
  });
  const git = findTool("git");
  const programs = git === undefined ? [] : [{ path: "/bin/git", source: git, mode: 0o755 }];
  return [{ path: "/bin/guest-files", source, mode: 0o755 }, ...modules, ...programs];
}
