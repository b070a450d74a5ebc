/** The parts of a kind of guest: its kernel, its image, and the ways to start its VM. */
import type { GuestFile } from "./guest-image.ts";
import type { Kernel } from "./kernel.ts";

/** What runs a guest: QEMU, or User-mode Linux. */
export type VmmName = "qemu" | "uml";

/** Options of a guest's boot. */
export interface BootOptions {
  /** What runs it (default `qemu`). */
  vmm?: VmmName;
  /** The local file that becomes /bin/vsockbox in the guest. */
  binary: string;
  environment?: Readonly<Record<string, string>>;
  files?: readonly GuestFile[];
  /** Arguments of `vsockbox agent --init`, if that is the guest's init. */
  agentInit?: readonly string[];
  memoryMib?: number;
  /** QEMU: the kernel to boot (default: the newest of this system). */
  kernel?: Kernel;
  /** Sockets of vhost-user vsock devices: each becomes a device of the guest. */
  vsockDevices?: readonly string[];
  /** QEMU: a Unix socket to be made for its monitor, which speaks QMP. */
  monitor?: string;
  /** QEMU: further modules to load, with all that they depend on. */
  modules?: readonly string[];
  /** QEMU: further arguments, as those of a device; only with {@link vsockDevices}, whose VM has a PCI bus. */
  qemuArguments?: readonly string[];
  /** QEMU: whether a reboot of the guest starts it anew; without, it ends. */
  reboots?: boolean;
  /** Called once with each stage of the boot: as in "booting Linux 6.1". */
  onStage?: (stage: string) => void;
  /** Ends the guest, also while it boots. */
  signal?: AbortSignal;
}

/** Memory of a guest in MiB; 384 is too little to unpack an initramfs of 114 MB. */
export const DEFAULT_MEMORY_MIB = 512;

/** The process of a VM. */
export interface VmmProcess {
  /** Standard input and output are the guest's control channel. */
  command: [string, ...string[]];
  /** Its whole environment; undefined: this process's. */
  environment?: Readonly<Record<string, string>>;
  /**
   * Whether it ends its VM, with SIGKILL, when descriptor 3 has no writer any longer. If not,
   * it is the VM itself.
   */
  supervised: boolean;
}

/** One way to start a VM. */
export interface Attempt {
  /** A VM that writes nothing to its console for this long is ended, in milliseconds. */
  stallMs: number;
  vmm: VmmProcess;
}

/** A kind of guest. */
export interface GuestKind {
  kernel: Kernel;
  /** The existing directory in which the guest's directory is made. */
  parent: string;
  /** The guest's end of the control channel. */
  controlDevice: string;
  /** Modules that its devices need. */
  modules: readonly string[];
  /**
   * Returns the ways to start it, in the order of attempts. The guest's directory has its `initrd`; the console
   * is written to `console.log` in it, or to standard error.
   */
  attempts(directory: string): readonly Attempt[];
}
