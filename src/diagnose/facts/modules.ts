/** Kernel modules: which are loaded, built in, or can be loaded, and by which commands. */
import { MODULE_DIRECTORY } from "../../initramfs/modules.ts";
import { type ModuleIndex, moduleName, parseModuleIndex } from "../../initramfs/module-index.ts";
import { shellWord } from "../../text/shell-word.ts";
import type { KernelFacts } from "./kernel.ts";
import type { SystemFiles } from "./system-files.ts";

/** The modules that matter to vsock, with their options in the kernel's configuration. */
export const MODULE_OPTIONS = {
  vsock: "CONFIG_VSOCKETS",
  vsock_loopback: "CONFIG_VSOCKETS_LOOPBACK",
  vmw_vsock_virtio_transport: "CONFIG_VIRTIO_VSOCKETS",
  vhost_vsock: "CONFIG_VHOST_VSOCK",
  hv_sock: "CONFIG_HYPERV_VSOCKETS",
  vmw_vsock_vmci_transport: "CONFIG_VMWARE_VMCI_VSOCKETS",
} as const;

/** One of {@link MODULE_OPTIONS}. */
export type ModuleName = keyof typeof MODULE_OPTIONS;

/** `missing`: the kernel has it as a module, whose file is not installed. */
export type ModuleState = "loaded" | "built-in" | "loadable" | "missing" | "absent";

/** One module. */
export interface ModuleStatus {
  state: ModuleState;
  /** The commands that load it, each for root; empty unless it is loadable. */
  load: readonly string[];
}

/** All of {@link MODULE_OPTIONS}. */
export type AllModules = Readonly<Record<ModuleName, ModuleStatus>>;

/**
 * What each module needs, for directories without modules.dep, such as that of a packed initramfs:
 * net/vmw_vsock/Makefile and the modules' own imports.
 */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  vsock: [],
  vmw_vsock_virtio_transport_common: ["vsock"],
  vsock_loopback: ["vmw_vsock_virtio_transport_common"],
  virtio_ring: ["virtio"],
  vmw_vsock_virtio_transport: ["virtio_ring", "vmw_vsock_virtio_transport_common"],
  vhost: ["vhost_iotlb"],
  vhost_vsock: ["vhost", "vmw_vsock_virtio_transport_common"],
  hv_sock: ["vsock"],
  vmw_vsock_vmci_transport: ["vsock", "vmw_vmci"],
};

/** The places of modprobe(8). */
const MODPROBE = ["/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe"];

/** Reads the states of all modules. */
export function readModules(files: SystemFiles, kernel: KernelFacts): AllModules {
  const directory = `/lib/modules/${kernel.release}`;
  const index = readIndex(files, directory);
  const packed = files.names(MODULE_DIRECTORY).map(moduleName);
  const loaded = new Set(
    (files.text("/proc/modules") ?? "").split("\n").map((line) => line.split(" ")[0] ?? ""),
  );
  const isPresent = (name: string) =>
    loaded.has(name) || files.status(`/sys/module/${name}`) !== undefined;
  const isBuiltIn = (name: string, option: string) =>
    kernel.config?.get(option) === "y" || index?.builtin.has(name) === true;
  const commands = (name: string): string[] => {
    if (index?.files.has(name) === true) {
      const hasModprobe = MODPROBE.some((path) => files.status(path) !== undefined);
      return hasModprobe ? [`modprobe ${name}`] : insmodCommands(name, fromIndex(index), isPresent);
    }
    return packed.includes(name) ? insmodCommands(name, fromPacked(packed), isPresent) : [];
  };
  const factsOf = (name: ModuleName): ModuleStatus => {
    const option = MODULE_OPTIONS[name];
    if (loaded.has(name)) return { state: "loaded", load: [] };
    if (isPresent(name) || isBuiltIn(name, option)) return { state: "built-in", load: [] };
    const load = commands(name);
    if (load.length > 0) return { state: "loadable", load };
    return { state: kernel.config?.get(option) === "m" ? "missing" : "absent", load };
  };
  const names = Object.keys(MODULE_OPTIONS) as ModuleName[];
  return Object.fromEntries(names.map((name) => [name, factsOf(name)])) as Record<
    ModuleName,
    ModuleStatus
  >;
}

function readIndex(files: SystemFiles, directory: string): ModuleIndex | undefined {
  const builtin = files.text(`${directory}/modules.builtin`);
  const dependencies = files.text(`${directory}/modules.dep`);
  if (builtin === undefined && dependencies === undefined) return undefined;
  return parseModuleIndex(directory, {
    dependencies: dependencies ?? "",
    builtin: builtin ?? "",
    softDependencies: "",
    aliases: "",
  });
}

/** A module's file and what it needs; undefined if there is no file of it. */
type FindModule = (name: string) => { path: string; needs: readonly string[] } | undefined;

function fromIndex(index: ModuleIndex): FindModule {
  return (name) => index.files.get(name);
}

function fromPacked(packed: readonly string[]): FindModule {
  return (name) =>
    packed.includes(name)
      ? { path: `${MODULE_DIRECTORY}/${name}.ko`, needs: NEEDS[name] ?? [] }
      : undefined;
}

/** insmod(8) does not load what a module needs: that comes first. */
function insmodCommands(
  name: string,
  find: FindModule,
  isPresent: (name: string) => boolean,
): string[] {
  const commands = new Map<string, string>();
  const visit = (needed: string) => {
    const file = find(needed);
    if (file === undefined || isPresent(needed) || commands.has(needed)) return;
    for (const need of file.needs) visit(need);
    commands.set(needed, `insmod ${shellWord(file.path)}`);
  };
  visit(name);
  return [...commands.values()];
}
