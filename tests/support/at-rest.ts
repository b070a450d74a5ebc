/** A process that has nothing to do: no CPU time is used, and descriptors are where they were. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { eventually } from "./eventually.ts";

/** Long enough for a busy loop to be charged several clock ticks of 10 ms, even on a busy machine. */
const WINDOW_MS = 400;

/** CPU time that a process has used, in clock ticks: fields 14 and 15 of /proc/PID/stat, proc(5). */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Waits for a window in which the process uses no CPU time. */
export async function isAtRest(pid: number): Promise<void> {
  await eventually("a window without CPU time", async () => {
    const before = cpuTicks(pid);
    await Bun.sleep(WINDOW_MS);
    return cpuTicks(pid) === before;
  });
}

/** What keeps a session's descriptors: terminals, pipes and sockets that a process has open. */
export function openEnds(pid: number): number {
  const names = readdirSync(`/proc/${pid}/fd`);
  return names.filter((name) => {
    try {
      return /^(pipe:|socket:|\/dev\/(ptmx|pts))/.test(readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      return false;
    }
  }).length;
}

/** Waits until a process has as many descriptors as before, and rests. */
export async function returnsTo(pid: number, before: number): Promise<void> {
  await eventually(`${before} descriptors`, () => openEnds(pid) <= before);
  await isAtRest(pid);
}
