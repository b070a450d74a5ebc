/** /proc/stat: processor time and counts of the kernel since its start. */
import { fieldsOf, unsignedFields, unsignedOf } from "./numbers.ts";

/** Modes of a `cpu` line in its order. The two that follow, for guests, are part of user and nice. */
export const CPU_MODES = [
  ...["user", "nice", "system", "idle"],
  ...["iowait", "irq", "softirq", "steal"],
] as const;

/** Ticks a second: USER_HZ, which is 100 on every architecture that this program is built for. */
const TICKS_PER_SECOND = 100;

/** Contents of /proc/stat; a field whose line is missing or has another form is undefined. */
export interface KernelStatistics {
  /** Seconds of all processors together, in the order of {@link CPU_MODES}; empty if unknown. */
  cpuSeconds: readonly number[];
  /** Processors that are online. */
  cpus: number;
  interrupts: number | undefined;
  contextSwitches: number | undefined;
  /** Processes and threads that were started. */
  forks: number | undefined;
  /** Time of the boot, in seconds since 1970. */
  bootTimeSeconds: number | undefined;
  /** Processes that run or could run, and those that wait for a disk. */
  runningProcesses: number | undefined;
  blockedProcesses: number | undefined;
}

/** Reads /proc/stat. Lines of another form are ignored. */
export function parseKernelStatistics(text: string): KernelStatistics {
  const lines = text.split("\n").map(fieldsOf);
  const value = (name: string) => unsignedOf(lines.find(([first]) => first === name)?.[1]);
  const total = lines.find(([first]) => first === "cpu") ?? [];
  const ticks = unsignedFields(total, 1, CPU_MODES.length) ?? [];
  return {
    cpuSeconds: ticks.map((count) => count / TICKS_PER_SECOND),
    cpus: lines.filter(([first = ""]) => /^cpu\d+$/.test(first)).length,
    interrupts: value("intr"),
    contextSwitches: value("ctxt"),
    forks: value("processes"),
    bootTimeSeconds: value("btime"),
    runningProcesses: value("procs_running"),
    blockedProcesses: value("procs_blocked"),
  };
}
