/** Facts of processes from /proc: proc(5). */
import { readdirSync, readFileSync } from "node:fs";

/**
 * Returns the ids of all processes in ascending order.
 *
 * @param root a directory with another /proc; empty for the running system.
 * @throws errors of `readdirSync` if /proc is not mounted.
 */
export function processIds(root = ""): number[] {
  return readdirSync(`${root}/proc`)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Of /proc/PID/stat. */
export interface ProcessStat {
  parent: number;
  group: number;
  session: number;
  /** PF_ of linux/sched.h. */
  flags: number;
}

/** Undefined if the process has ended, or /proc is not mounted. */
export function processFacts(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name in parentheses may itself have any characters.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [, parent = 0, group = 0, session = 0, , , flags = 0] = fields.map(Number);
    return { parent, group, session, flags };
  } catch {
    return undefined;
  }
}

/**
 * Returns the command lines of this process's ancestors but for process 1; none if
 * /proc is not there.
 */
export function ancestorCommands(): string[][] {
  const commands: string[][] = [];
  let pid = process.ppid;
  while (pid > 1) {
    commands.push(commandLine(pid));
    pid = processFacts(pid)?.parent ?? 0;
  }
  return commands;
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}
