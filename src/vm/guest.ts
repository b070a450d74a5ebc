/** Disposable guests: boot one, run shell lines in it, end it. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeGuestImage } from "./guest-image.ts";
import type { BootOptions, GuestKind, VmmProcess } from "./machine.ts";
import { qemuMachine } from "./qemu.ts";
import { Guest } from "./running-guest.ts";
import { umlMachine } from "./uml.ts";

export type { Guest } from "./running-guest.ts";

/** An emulated guest boots within 10 s; on two busy cores it needs longer. */
const BOOT_TIMEOUT_MS = 180_000;

/**
 * Boots a guest and waits until it accepts commands.
 *
 * @throws {VsockboxError} UNAVAILABLE if the VMM, a kernel or busybox is missing, TIMEOUT or
 * UNAVAILABLE with the console's text if the guest does not boot.
 */
export async function bootGuest(options: BootOptions): Promise<Guest> {
  const machine = options.vmm === "uml" ? umlMachine(options) : qemuMachine(options);
  const { kernel } = machine;
  const directory = mkdtempSync(join(machine.parent, "vsockbox-guest-"));
  try {
    options.onStage?.("packing the initramfs");
    writeGuestImage(join(directory, "initrd"), {
      kernel,
      binary: options.binary,
      environment: options.environment ?? {},
      files: options.files ?? [],
      agentInit: options.agentInit,
      controlDevice: machine.controlDevice,
      modules: machine.modules,
    });
    options.onStage?.(`booting Linux ${kernel.version}`);
    const ready = (guest: Guest) => guest.ready(BOOT_TIMEOUT_MS);
    const guest = await startMachine({ machine, directory, ready, signal: options.signal });
    // The guest has it in memory by now.
    rmSync(join(directory, "initrd"));
    return guest;
  } catch (thrown) {
    rmSync(directory, { recursive: true, force: true });
    throw thrown;
  }
}

/** What {@link startMachine} starts. */
export interface MachineStart {
  machine: GuestKind;
  /** With the `initrd`. */
  directory: string;
  /** Resolves when the guest is up, rejects when it will not be. */
  ready(guest: Guest): Promise<void>;
  signal?: AbortSignal | undefined;
}

/** Starts a VM, and starts it again if it hangs. */
export async function startMachine(start: MachineStart): Promise<Guest> {
  const attempts = start.machine.attempts(start.directory);
  for (const [index, { stallMs, vmm }] of attempts.entries()) {
    const isLast = index === attempts.length - 1;
    const guest = await tryBoot(start, vmm, isLast ? undefined : stallMs);
    if (guest !== undefined) return guest;
  }
  throw new Error("the last attempt neither booted nor failed");
}

/** Returns undefined if the VM has written nothing to its console for `stallMs`. */
async function tryBoot(
  { directory, ready, signal }: MachineStart,
  vmm: VmmProcess,
  stallMs: number | undefined,
): Promise<Guest | undefined> {
  const guest = new Guest(directory, vmm);
  const onAbort = () => void guest.stop();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const stalled = Promise.withResolvers<"stalled">();
  let written = 0;
  let since = performance.now();
  const look = () => {
    const length = guest.consoleLog().length;
    const now = performance.now();
    if (length !== written) [written, since] = [length, now];
    else if (stallMs !== undefined && now - since > stallMs) stalled.resolve("stalled");
  };
  const timer = setInterval(look, 500);
  try {
    const outcome = await Promise.race([ready(guest), stalled.promise]);
    if (outcome !== "stalled") return guest;
    await guest.kill();
    return undefined;
  } finally {
    clearInterval(timer);
  }
}
