/** Powers off or reboots the VM whose PID 1 this process is. */
import { type Operation } from "../../operations.ts";
import { constants } from "node:os";
import { VsockboxError } from "../../errors.ts";
import { systemError } from "../../ffi/errno.ts";
import { errnoMessage, errnoName } from "../../system-errors.ts";
import { remountReadOnly } from "../../ffi/mount.ts";
import {
  RebootCommand,
  rebootMachine,
  signalEverything,
  syncFilesystems,
} from "../../ffi/power.ts";
import { processFacts, processIds } from "../process-facts.ts";
import { countOf } from "../../text/count.ts";

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;

/** Processes have this long to end after SIGTERM, in milliseconds. */
const END_GRACE_MS = 3000;

/** Grace period after SIGKILL: a process blocked in the kernel may not end at all. */
const KILL_GRACE_MS = 500;

/** Interval at which the processes are polled, in milliseconds. */
const CHECK_MS = 20;

/** PF_KTHREAD of the flags in /proc/PID/stat, linux/sched.h. */
const PF_KTHREAD = 0x0020_0000;

/** The ways to end. */
export type MachineEnd = "poweroff" | "reboot" | "halt";

/** The ends of a VM as operations, for errors. */
const OPERATION_OF_END = {
  poweroff: "power off",
  reboot: "reboot",
  halt: "halt",
} as const satisfies Readonly<Record<MachineEnd, Operation>>;

/** The system calls that tests stand in for. */
export interface PowerSystem {
  /** This process's own id. */
  pid: number;
  signalEverything(signal: number): void;
  /** Returns the number of other processes but the kernel's; undefined if it cannot be determined. */
  countProcesses(): number | undefined;
  sync(): void;
  /** Returns 0 or an errno. */
  remountReadOnly(): number;
  /** Returns an errno, if it returns. */
  reboot(command: number): number;
}

const KERNEL: PowerSystem = {
  pid: process.pid,
  signalEverything,
  countProcesses,
  sync: syncFilesystems,
  remountReadOnly: () => remountReadOnly("/"),
  reboot: rebootMachine,
};

/** Options of {@link endMachine}. */
export interface EndMachineOptions {
  graceMs?: number | undefined;
  /** Receives warnings. */
  warn?: ((message: string) => void) | undefined;
  system?: PowerSystem | undefined;
}

/**
 * Ends all processes, syncs the disks, and powers off or reboots. The reaper has to run
 * meanwhile. Does not return if the kernel succeeds; `halt`, and a kernel that cannot power
 * off, stop the VM.
 *
 * @throws {VsockboxError} REFUSED if this process is not PID 1, before anything is done, or if
 * the kernel does not allow it.
 */
export async function endMachine(
  action: MachineEnd,
  { graceMs = END_GRACE_MS, warn, system = KERNEL }: EndMachineOptions = {},
): Promise<void> {
  if (system.pid !== 1) {
    throw new VsockboxError({
      code: "REFUSED",
      operation: OPERATION_OF_END[action],
      message: `only PID 1 can end the VM, and this is process ${system.pid}`,
    });
  }
  system.signalEverything(SIGTERM);
  // A stopped process handles SIGTERM only once it is continued.
  system.signalEverything(SIGCONT);
  await untilAlone(system, graceMs);
  system.signalEverything(SIGKILL);
  const left = await untilAlone(system, KILL_GRACE_MS);
  if (left !== undefined && left > 0)
    warn?.(countOf(left, "process does not end", "processes do not end"));

  system.sync();
  const errno = system.remountReadOnly();
  if (errno !== 0) {
    warn?.(`cannot remount / read-only: ${errnoMessage(errno)} (${errnoName(errno)})`);
  }
  const refused = system.reboot(RebootCommand[action]);
  if (refused !== 0) throw systemError(refused, { operation: OPERATION_OF_END[action] });
}

/** Waits until no process is left, at most `graceMs`. Returns how many are. */
async function untilAlone(system: PowerSystem, graceMs: number): Promise<number | undefined> {
  const deadline = performance.now() + graceMs;
  for (;;) {
    const left = system.countProcesses();
    if (left === 0 || performance.now() >= deadline) return left;
    await Bun.sleep(CHECK_MS);
  }
}

/**
 * Processes beside this one, without kernel threads. What has ended and is not collected counts, so
 * that the reaper finishes too.
 *
 * @returns undefined if /proc is not mounted.
 */
export function countProcesses(): number | undefined {
  try {
    const pids = processIds();
    if (pids.length === 0) return undefined;
    return pids.filter((pid) => pid !== process.pid && isUserProcess(pid)).length;
  } catch {
    return undefined;
  }
}

function isUserProcess(pid: number): boolean {
  const facts = processFacts(pid);
  return facts !== undefined && (facts.flags & PF_KTHREAD) === 0;
}
