/** What a process is doing, read from /proc: conditions for tests that would otherwise sleep. */
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { eventually } from "./eventually.ts";

/** Consecutive looks, some 20 ms apart, at which nothing may have changed. */
const QUIET_LOOKS = 15;

/** Processor time that a process has used, in clock ticks, and whether all its threads sleep. */
interface Activity {
  ticks: number;
  sleeps: boolean;
}

function statFields(path: string): string[] {
  const stat = readFileSync(path, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Processor time of a process, user and system, in clock ticks (proc_pid_stat(5), fields 14, 15). */
export function cpuTicks(pid: number): number {
  const fields = statFields(`/proc/${pid}/stat`);
  return Number(fields[11]) + Number(fields[12]);
}

function activity(pid: number): Activity {
  const threads = readdirSync(`/proc/${pid}/task`);
  const sleeps = threads.every((thread) => {
    const [state] = statFields(`/proc/${pid}/task/${thread}/stat`);
    return state === "S" || state === "T";
  });
  return { ticks: cpuTicks(pid), sleeps };
}

/**
 * Waits until a value stays the same at {@link QUIET_LOOKS} looks in a row.
 *
 * @returns the value.
 */
export async function standsStill<T>(what: string, look: () => T | Promise<T>): Promise<T> {
  let last = await look();
  let same = 0;
  await eventually(what, async () => {
    const now = await look();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= QUIET_LOOKS;
  });
  return last;
}

/**
 * Waits until processes have nothing to do: all threads asleep and no processor time used. One that
 * is only kept from a busy processor is runnable, and does not count as asleep.
 */
export async function atRest(...pids: number[]): Promise<void> {
  let looks = 0;
  await standsStill(`processes ${pids.join(", ")} are at rest`, () => {
    const seen = pids.map(activity);
    looks++;
    // A value of its own for each look at which something runs.
    return seen.every(({ sleeps }) => sleeps)
      ? seen.map(({ ticks }) => ticks).join(" ")
      : `busy at look ${looks}`;
  });
}

/** Waits until a process handles a signal itself: its main work has begun. */
export async function catches(pid: number, signal: "SIGINT" | "SIGTERM"): Promise<void> {
  const bit = 1n << BigInt(constants.signals[signal] - 1);
  await eventually(`process ${pid} catches ${signal}`, () => {
    const mask = /^SigCgt:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & bit) !== 0n;
  });
}

/**
 * Returns how many sockets of this machine are bound to a path: the listener, and one for each
 * connection to it, also before it is accepted.
 */
export function socketsAt(path: string): number {
  const lines = readFileSync("/proc/net/unix", "latin1").split("\n");
  return lines.filter((line) => line.endsWith(` ${path}`)).length;
}

/** Whether a socket of this machine listens at a path; its file is there a moment earlier. */
export function listensAt(path: string): boolean {
  // The fourth field has __SO_ACCEPTCON for a listener; net/unix/af_unix.c.
  return readFileSync("/proc/net/unix", "latin1")
    .split("\n")
    .some((line) => line.endsWith(` ${path}`) && line.split(" ")[3] === "00010000");
}
