/** Which modules of a kernel are packed, in load order, and their content. */
import { readFileSync } from "node:fs";
import { HEAD_BYTES, parseElfHead } from "../elf/elf-head.ts";
import { reasonOf, VsockboxError } from "../errors.ts";
import { closest } from "../text/closest.ts";
import type { CpioEntry } from "./cpio.ts";
import { moduleName, readModuleIndex, type ModuleIndex, type ModuleTree } from "./module-index.ts";

/** The directory of packed modules, which no other initrd uses. */
export const MODULE_DIRECTORY = "/usr/lib/vsockbox/modules";

/** A guest's way to its host: virtio on PCI and on MMIO, and vsock over it. */
export const VSOCK_MODULES = ["virtio_pci", "virtio_mmio", "vsock", "vmw_vsock_virtio_transport"];

/** A module file in the order in which it has to be loaded. */
export interface ModuleFile {
  name: string;
  path: string;
}

/** Returns the path of a packed module in the guest. */
export const packedModulePath = (name: string) => `${MODULE_DIRECTORY}/${name}.ko`;

/** Options of {@link resolveModules}. */
export interface ResolveOptions {
  /** Modules that are packed before the others if they exist. */
  optional?: readonly string[];
}

/**
 * Returns the files of the named modules and of their dependencies, in load order. Those built into
 * the kernel needs no file.
 *
 * @throws {VsockboxError} UNAVAILABLE if the kernel does not have a named module.
 */
export function resolveModules(
  tree: ModuleTree,
  names: readonly string[],
  { optional = [] }: ResolveOptions = {},
): ModuleFile[] {
  return orderModules(tree, readModuleIndex(tree), names, { optional });
}

/**
 * Returns the files of the named modules and of all that they depend on, in load order.
 *
 * @throws {VsockboxError} UNAVAILABLE if the index has no such module.
 */
export function orderModules(
  tree: ModuleTree,
  index: ModuleIndex,
  names: readonly string[],
  { optional = [] }: ResolveOptions = {},
): ModuleFile[] {
  const ordered = new Map<string, string>();
  // Also those whose dependencies are being visited: a broken index may have a circle.
  const seen = new Set<string>();
  const visit = (name: string) => {
    if (seen.has(name) || index.builtin.has(name)) return;
    seen.add(name);
    const file = index.files.get(name);
    if (file === undefined) throw missing(tree, index, name);
    for (const need of softNeeds(index, name)) visit(need);
    for (const need of file.needs) visit(need);
    ordered.set(name, file.path);
  };
  for (const name of optional) if (index.files.has(name)) visit(name);
  for (const name of names) visit(moduleName(name));
  return [...ordered].map(([name, path]) => ({ name, path }));
}

/** Whether the kernel has a module as a file or built in. */
export function hasModule(tree: ModuleTree, name: string): boolean {
  const index = readModuleIndex(tree);
  return index.files.has(name) || index.builtin.has(name);
}

/** A module that helps another, as crc32c does ext4; a missing one is ignored. */
function softNeeds(index: ModuleIndex, name: string): string[] {
  return (index.softNeeds.get(name) ?? [])
    .flatMap((need) => index.aliases.get(need) ?? [moduleName(need)])
    .filter((need) => index.files.has(need));
}

function missing(tree: ModuleTree, index: ModuleIndex, name: string): VsockboxError {
  const near = closest(name, [...index.files.keys(), ...index.builtin]);
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find kernel module",
    address: name,
    message: `it is neither in ${tree.modules} nor built in`,
    hint: near === undefined ? tree.installHint : `did you mean ${near}? Else ${tree.installHint}`,
  });
}

/**
 * Returns a module as the kernel loads it, decompressed if the distribution compresses modules.
 *
 * @throws {VsockboxError} UNAVAILABLE if it cannot be read or decompressed.
 */
export function readModule({ path }: ModuleFile): Uint8Array {
  const failed = (message: string, hint: string) =>
    new VsockboxError({
      code: "UNAVAILABLE",
      operation: "read kernel module",
      address: path,
      message,
      hint,
    });
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (thrown) {
    throw failed(reasonOf(thrown).message, "modules.dep names it: depmod(8) writes that anew");
  }
  try {
    // That of node:zlib accepts a truncated file.
    if (path.endsWith(".zst")) return Bun.zstdDecompressSync(bytes);
    if (path.endsWith(".gz")) return Bun.gunzipSync(bytes);
  } catch (thrown) {
    throw failed(reasonOf(thrown).message, "the file is damaged: install the kernel again");
  }
  if (!path.endsWith(".xz")) return bytes;
  if (Bun.which("xz") === null) throw failed("it is compressed with xz", "install xz-utils");
  const { exitCode, stdout } = Bun.spawnSync(["xz", "-dc", path], { stderr: "ignore" });
  if (exitCode === 0) return stdout;
  throw failed("xz cannot decompress it", "the file is damaged: install the kernel again");
}

/** The kernel of a module, from its modinfo section; missing fields are undefined. */
export interface ModuleFacts {
  /** As `uname -r` prints it. */
  kernel: string | undefined;
  /** e_machine. */
  machine: number | undefined;
}

/**
 * Reads what a module is for.
 *
 * @throws {VsockboxError} as {@link readModule}.
 */
export function moduleFacts(module: ModuleFile): ModuleFacts {
  const bytes = Buffer.from(readModule(module));
  // A string of its section .modinfo: "vermagic=6.1.0-13-amd64 SMP preempt mod_unload".
  const at = bytes.indexOf("\0vermagic=");
  const text = at === -1 ? "" : bytes.toString("latin1", at, at + 256);
  return {
    kernel: /^.vermagic=(\S+)/s.exec(text)?.[1],
    machine: parseElfHead(bytes.subarray(0, HEAD_BYTES))?.machine,
  };
}

/** The modules as they are packed. */
export function moduleEntries(modules: readonly ModuleFile[]): CpioEntry[] {
  return modules.map((module) => ({
    kind: "file",
    path: packedModulePath(module.name).slice(1),
    mode: 0o644,
    data: readModule(module),
  }));
}
