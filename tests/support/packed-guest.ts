/** Guests that boot a file as `vsockbox initramfs` has written it, behind a vsock device of ours. */
import { mkdtempSync, renameSync } from "node:fs";
import { join } from "node:path";
import { packInto } from "./pack.ts";
import type { Machine, VmmName } from "../../src/vm/machine.ts";
import { qemuMachine } from "../../src/vm/qemu.ts";
import { Guest } from "../../src/vm/running-guest.ts";
import { umlMachine } from "../../src/vm/uml.ts";
import { BINARY, Running, TemporaryFolder } from "./binary.ts";

/** Options of {@link PackedGuest.boot}. */
export interface PackedGuestOptions {
  vmm: VmmName;
  /** Arguments of `vsockbox initramfs`, without `-o`. */
  pack: readonly string[];
  /** Whether the kernel's modules for vsock are packed. */
  hasModules?: boolean;
  /** UML: further words of the kernel's command line. */
  words?: readonly string[];
}

/** A guest, its device, and the file that it has booted. */
export class PackedGuest implements AsyncDisposable {
  readonly guest: Guest;
  /** How the host reaches its agent. */
  readonly address: string;
  readonly #folder: TemporaryFolder;
  readonly #device: Running;

  private constructor(guest: Guest, address: string, folder: TemporaryFolder, device: Running) {
    this.guest = guest;
    this.address = address;
    this.#folder = folder;
    this.#device = device;
  }

  /** Packs and boots. */
  static async boot(options: PackedGuestOptions): Promise<PackedGuest> {
    const folder = new TemporaryFolder();
    const uds = folder.file("vm5.vsock");
    const socket = folder.file("vhost.sock");
    const device = new Running([
      ...["hybrid-proxy", "--vm", `guest-cid=5,socket=${socket},uds-path=${uds}`],
    ]);
    await device.says("waiting for its VMM");
    const machine = machineOf(options.vmm, socket);
    const home = mkdtempSync(join(machine.parent, "vsockbox-guest-"));
    const modules =
      options.hasModules === false ? [] : ["--kernel-modules", machine.kernel.modules];
    await packInto(join(home, "packed"), [...modules, ...options.pack]);
    renameSync(join(home, "packed"), join(home, "initrd"));
    const [attempt] = machine.attempts(home);
    if (attempt === undefined) throw new Error("the machine has no way to start");
    const { vmm } = attempt;
    const command: [string, ...string[]] = [...vmm.command, ...(options.words ?? [])];
    const guest = new Guest(home, { ...vmm, command });
    return new PackedGuest(guest, `hybrid:${uds}`, folder, device);
  }

  /** The path of a file beside the device's sockets. */
  get folder(): TemporaryFolder {
    return this.#folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.stop();
    await this.#device[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

function machineOf(vmm: VmmName, socket: string): Machine {
  const options = { binary: BINARY, vsockDevices: [socket], memoryMib: 1024 };
  return vmm === "uml" ? umlMachine(options) : qemuMachine(options);
}
