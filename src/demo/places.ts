/** The other end of the demo: a guest with hybrid-proxy, or a local agent on a Unix socket. */
import { join } from "node:path";
import { bootGuest } from "../vm/guest.ts";
import { findBusybox } from "../vm/guest-image.ts";
import { findKernel } from "../vm/kernel.ts";
import type { VmmName } from "../vm/machine.ts";
import { findQemu } from "../vm/qemu.ts";
import { findUml } from "../vm/uml.ts";
import { HostShell } from "./host-shell.ts";
import { type DemoStep, GUEST_STEPS, LOCAL_STEPS } from "./steps.ts";

/** A place in which the demo's lines can be run. */
export interface DemoPlace extends AsyncDisposable {
  shell: HostShell;
  steps: readonly DemoStep[];
  /** What the commands go over, in words. */
  over: string;
  /** Resolves when the guest is off; undefined if there is none. */
  guestOff: Promise<unknown> | undefined;
}

/** Options of {@link guestPlace}. */
export interface GuestPlaceOptions {
  /** The compiled vsockbox, for the host and the guest. */
  binary: string;
  vmm: VmmName;
  /** Called with the line that starts the device, once it is there. */
  onDevice: (line: string) => void;
  onStage: (stage: string) => void;
  signal: AbortSignal;
}

const DEVICE = {
  line: "vsockbox hybrid-proxy --guest-cid 3 --socket $DIR/vhost.socket --uds-path $DIR/vm.vsock",
  socket: "$DIR/vhost.socket",
};

/**
 * Finds everything that a guest needs.
 *
 * @throws {VsockboxError} UNAVAILABLE with what to install.
 */
function checkVmm(vmm: VmmName): void {
  if (vmm === "uml") {
    findUml();
  } else {
    findQemu();
    findKernel();
  }
  findBusybox();
}

/**
 * What a guest of the demo can run under: QEMU, else User-mode Linux.
 *
 * @throws {VsockboxError} UNAVAILABLE with the parts that QEMU lacks, if there is neither.
 */
export function availableVmm(): VmmName {
  try {
    checkVmm("qemu");
    return "qemu";
  } catch (thrown) {
    try {
      checkVmm("uml");
      return "uml";
    } catch {
      throw thrown;
    }
  }
}

/**
 * A guest with a kernel of its own, whose vsock is a device of hybrid-proxy, and whose init is the
 * agent.
 *
 * @throws {VsockboxError} UNAVAILABLE if the VMM, a kernel or busybox is missing.
 */
export async function guestPlace(options: GuestPlaceOptions): Promise<DemoPlace> {
  const { binary, vmm, onStage, signal } = options;
  checkVmm(vmm);
  const shell = new HostShell(
    binary,
    (directory) => `hybrid:${join(directory, "vm.vsock")}`,
    signal,
  );
  try {
    await shell.background(DEVICE.line, DEVICE.socket);
    options.onDevice(shell.shown(DEVICE.line));
    const guest = await bootGuest({
      ...{ vmm, binary, onStage, signal },
      agentInit: [],
      vsockDevices: [shell.shown(DEVICE.socket)],
    });
    return {
      shell,
      steps: GUEST_STEPS,
      over: "hybrid-proxy",
      guestOff: guest.ended,
      async [Symbol.asyncDispose]() {
        await guest.stop();
        await shell[Symbol.asyncDispose]();
      },
    };
  } catch (thrown) {
    await shell[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** The local system, with the agent on a Unix socket. */
export function localPlace(binary: string, signal: AbortSignal): DemoPlace {
  const shell = new HostShell(
    binary,
    (directory) => `unix:${join(directory, "agent.socket")}`,
    signal,
  );
  return {
    shell,
    steps: LOCAL_STEPS,
    over: "a Unix socket",
    guestOff: undefined,
    [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
  };
}
