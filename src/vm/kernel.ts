/** Kernels with their modules: this machine's own, for a guest that runs the same one. */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { VsockboxError } from "../errors.ts";

/** A kernel that can be booted, with its modules. */
export interface Kernel {
  version: string;
  /** What is booted: an image, or the executable of a kernel that is a program. */
  image: string;
  /** The folder with modules.dep. */
  modules: string;
  /** How to get it with all of its modules. */
  installHint: string;
}

const INSTALL_HINT =
  "install a kernel with its modules, for example `apt-get install linux-image-amd64`; it is only read, not booted on this machine";

/**
 * The newest kernel in /boot that has its modules in /lib/modules.
 *
 * @throws {VsockboxError} UNAVAILABLE where there is none, or none that this user may read.
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
      message: "there is no vmlinuz-VERSION with modules in /lib/modules",
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

/** A module file in the order in which it has to be loaded. */
export interface ModuleFile {
  name: string;
  path: string;
}

const moduleName = (path: string) =>
  basename(path)
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");

/** The files by which {@link resolveModules} finds modules. */
export function moduleIndexes({ modules }: Kernel): [dependencies: string, builtin: string] {
  return [join(modules, "modules.dep"), join(modules, "modules.builtin")];
}

/**
 * The files of the named modules and of all that they depend on, in load order. What is built into
 * the kernel needs no file.
 *
 * @throws {VsockboxError} UNAVAILABLE where the kernel does not have a module.
 */
export function resolveModules(kernel: Kernel, names: readonly string[]): ModuleFile[] {
  const { modules, installHint } = kernel;
  const [dependenciesFile, builtinFile] = moduleIndexes(kernel);
  const dependencies = new Map<string, { path: string; needs: string[] }>();
  for (const line of readFileSync(dependenciesFile, "utf8").split("\n")) {
    const [path = "", needs = ""] = line.split(":");
    if (path !== "") {
      dependencies.set(moduleName(path), { path, needs: needs.trim().split(" ").filter(Boolean) });
    }
  }
  const builtin = new Set(readFileSync(builtinFile, "utf8").split("\n").map(moduleName));
  const ordered = new Map<string, string>();
  const visit = (name: string) => {
    if (ordered.has(name) || builtin.has(name)) return;
    const entry = dependencies.get(name);
    if (entry === undefined) {
      throw new VsockboxError({
        code: "UNAVAILABLE",
        operation: "find kernel module",
        address: name,
        message: `it is neither in ${modules} nor built in`,
        hint: installHint,
      });
    }
    for (const need of entry.needs) visit(moduleName(need));
    ordered.set(name, join(modules, entry.path));
  };
  for (const name of names) visit(name);
  return [...ordered].map(([name, path]) => ({ name, path }));
}

/** The module as insmod takes it, decompressed where the distribution compresses modules. */
export function readModule({ path }: ModuleFile): Uint8Array {
  const bytes = readFileSync(path);
  if (path.endsWith(".zst")) return zstdDecompressSync(bytes);
  if (path.endsWith(".gz")) return Bun.gunzipSync(bytes);
  if (!path.endsWith(".xz")) return bytes;
  const { exitCode, stdout } = Bun.spawnSync(["xz", "-dc", path], { stderr: "ignore" });
  if (exitCode === 0) return stdout;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "decompress",
    address: path,
    message: "xz failed",
    hint: "install xz-utils",
  });
}
