/** Kernels with their modules, from /boot and /lib/modules of this system. */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import type { ModuleTree } from "../initramfs/module-index.ts";

/** A kernel that can be booted, with its modules. */
export interface Kernel extends ModuleTree {
  version: string;
  /** An image, or the executable of User-mode Linux. */
  image: string;
}

const INSTALL_HINT =
  "install a kernel with its modules, for example `apt-get install linux-image-amd64`; it is only read, not booted on this machine";

/**
 * The newest kernel in /boot that has its modules in /lib/modules.
 *
 * @throws {VsockboxError} UNAVAILABLE if there is none, or none that this user may read.
 */
export function findKernel(boot = "/boot", modules = "/lib/modules"): Kernel {
  const names = existsSync(boot) ? readdirSync(boot) : [];
  const versions = names
    .filter((name) => name.startsWith("vmlinuz-"))
    .map((name) => name.slice("vmlinuz-".length))
    .filter((version) => existsSync(join(modules, version, "modules.dep")))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const version = versions.at(-1);
  if (version === undefined) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "find a kernel in",
      address: boot,
      message: "it has no vmlinuz-VERSION whose modules are in /lib/modules",
      hint: INSTALL_HINT,
    });
  }
  const image = join(boot, `vmlinuz-${version}`);
  try {
    accessSync(image, constants.R_OK);
  } catch (cause) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "read kernel",
      address: image,
      message: "this user may not read it",
      errno: "EACCES",
      hint: `\`sudo chmod +r ${image}\``,
      cause,
    });
  }
  return { version, image, modules: join(modules, version), installHint: INSTALL_HINT };
}
