/** The end of a machine whose PID 1 we are. */
import { constants } from "node:os";
import { VsockboxError } from "../../errors.ts";
import { errnoMessage, errnoName, systemError } from "../../ffi/errno.ts";
import { remountReadOnly } from "../../ffi/mount.ts";
import {
  RebootCommand,
  rebootMachine,
  signalEverything,
  syncFilesystems,
} from "../../ffi/power.ts";
import { processFacts, processIds } from "../process-facts.ts";

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;

/** Processes have this long to end after SIGTERM, in milliseconds. */
export const END_GRACE_MS = 3000;

/** And this long to be gone after SIGKILL: a process in the kernel may not go at all. */
const KILL_GRACE_MS = 500;

/** How often the processes are looked at, in milliseconds. */
const CHECK_MS = 20;

/** PF_KTHREAD of the flags in /proc/PID/stat, linux/sched.h. */
const PF_KTHREAD = 0x0020_0000;

/** How a machine ends. */
export type MachineEnd = "poweroff" | "reboot" | "halt";

/** The system calls that tests stand in for. */
export interface PowerSystem {
  /** This process's own id. */
  pid: number;
  signalEverything(signal: number): void;
  /** How many processes are left beside this one and the kernel's; undefined: it cannot be told. */
  countProcesses(): number | undefined;
  sync(): void;
  /** Returns 0 or an errno. */
  remountReadOnly(): number;
  /** Returns an errno, where it returns. */
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
  /** Told what did not go as it should. */
  warn?: ((message: string) => void) | undefined;
  system?: PowerSystem | undefined;
}

/**
 * Ends all processes, writes everything to the disks, and ends the machine. The reaper has to go on
 * meanwhile. Does not return where the kernel does it; `halt` and a kernel without a way to switch
 * the power off stop the machine as it is.
 *
 * @throws {VsockboxError} REFUSED where this process is not PID 1, before anything is done, or where
 * the kernel does not allow it.
 */
export async function endMachine(
  action: MachineEnd,
  { graceMs = END_GRACE_MS, warn, system = KERNEL }: EndMachineOptions = {},
): Promise<void> {
  if (system.pid !== 1) {
    throw new VsockboxError({
      code: "REFUSED",
      operation: action,
      message: `only PID 1 ends the machine, this is process ${system.pid}`,
    });
  }
  system.signalEverything(SIGTERM);
  // A stopped process takes SIGTERM only once it goes on.
  system.signalEverything(SIGCONT);
  await untilAlone(system, graceMs);
  system.signalEverything(SIGKILL);
  const left = await untilAlone(system, KILL_GRACE_MS);
  if (left !== undefined && left > 0) warn?.(`${left} processes do not end`);

  system.sync();
  const errno = system.remountReadOnly();
  if (errno !== 0) {
    warn?.(`remount / read-only: ${errnoMessage(errno)} (${errnoName(errno)})`);
  }
  const refused = system.reboot(RebootCommand[action]);
  if (refused !== 0) throw systemError(refused, { operation: action });
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
 * @returns undefined where /proc is not there.
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
