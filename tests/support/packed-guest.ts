/** Guests that boot a file as `vsockbox initramfs` has written it, behind a vsock device of ours. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startMachine } from "../../src/vm/guest.ts";
import type { GuestKind, VmmName } from "../../src/vm/machine.ts";
import { qemuMachine } from "../../src/vm/qemu.ts";
import type { Guest } from "../../src/vm/running-guest.ts";
import { umlMachine } from "../../src/vm/uml.ts";
import { BINARY, eventually, Running, ScratchDirectory } from "./binary.ts";
import { makeDisk } from "./disk.ts";
import { packInto } from "./pack.ts";
import { withArguments } from "./machine.ts";

/** Options of {@link PackedGuest.boot}. */
export interface PackedGuestOptions {
  vmm: VmmName;
  /** Arguments of `vsockbox initramfs`, without `-o`; `modules` is the kernel's directory of modules. */
  pack(modules: string): readonly string[];
  /** User-mode Linux: further words of the kernel's command line. */
  words?: readonly string[];
  /** User-mode Linux: the packed files are its root on a disk that is not written, not an initramfs. */
  onDisk?: boolean;
  /** Default 1024. */
  memoryMib?: number;
  /** Called with the device's address before the machine starts. */
  beforeStart?(address: string): void;
}

/** A guest and its device. */
export class PackedGuest implements AsyncDisposable {
  readonly guest: Guest;
  /** How the host reaches its agent. */
  readonly address: string;
  readonly #scratch: ScratchDirectory;
  readonly #device: Running;

  private constructor(guest: Guest, address: string, scratch: ScratchDirectory, device: Running) {
    this.guest = guest;
    this.address = address;
    this.#scratch = scratch;
    this.#device = device;
  }

  /** Packs, and boots as far as our init's first words. */
  static async boot(options: PackedGuestOptions): Promise<PackedGuest> {
    const scratch = new ScratchDirectory();
    const uds = scratch.file("vm5.vsock");
    const socket = scratch.file("vhost.sock");
    const device = new Running([
      ...["hybrid-proxy", "--vm", `guest-cid=5,socket=${socket},uds-path=${uds}`],
    ]);
    await device.says("waiting for its VMM");
    const machine = machineOf(options, socket);
    const home = mkdtempSync(join(machine.parent, "vsockbox-guest-"));
    try {
      await packInto(join(home, "initrd"), options.pack(machine.kernel.modules));
      if (options.onDisk === true) makeDisk(join(home, "initrd"), join(home, "disk"));
      const address = `hybrid:${uds}`;
      options.beforeStart?.(address);
      const guest = await startMachine({ machine, directory: home, ready: untilOurInit });
      return new PackedGuest(guest, address, scratch, device);
    } catch (thrown) {
      rmSync(home, { recursive: true, force: true });
      await device[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Resolves with all that its console has shown, when the machine is off. */
  async ended(): Promise<string> {
    await this.guest.ended;
    return this.guest.consoleLog();
  }

  /** Waits for words on the console. */
  async says(text: string): Promise<void> {
    await eventually(`its console has ${JSON.stringify(text)}`, () => this.#has(text));
  }

  #has(text: string): boolean {
    return this.guest.consoleLog().includes(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.stop();
    await this.#device[Symbol.asyncDispose]();
    this.#scratch[Symbol.dispose]();
  }
}

async function untilOurInit(guest: Guest): Promise<void> {
  let hasEnded = false;
  void guest.ended.then(() => (hasEnded = true));
  const isOurs = () => /vsockbox: (?:init|agent): /.test(guest.consoleLog()) || hasEnded;
  await eventually("our init is there", isOurs, 180_000);
}

function machineOf(options: PackedGuestOptions, socket: string): GuestKind {
  const { vmm, words = [], onDisk = false, memoryMib = 1024 } = options;
  const boot = { binary: BINARY, vsockDevices: [socket], memoryMib };
  if (vmm === "qemu") return qemuMachine(boot);
  const machine = umlMachine(boot);
  const rootOf = (scratch: string) =>
    onDisk
      ? [`ubd0r=${join(scratch, "disk")}`, "root=/dev/ubda", "rootfstype=ext4", "ro", "init=/init"]
      : [];
  return withArguments(machine, (given, scratch) => {
    const own = onDisk ? given.filter((word) => !word.startsWith("initrd=")) : given;
    return [...own, ...rootOf(scratch), ...words];
  });
}
