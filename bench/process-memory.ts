/** The memory of a process that runs. */
import { readFileSync } from "node:fs";

/**
 * Returns a size of /proc/PID/status, in MiB.
 *
 * @param field `VmHWM`, the highest RSS, or `RssAnon`, its own memory without the executable's pages.
 */
export function memoryMib(pid: number, field: "VmHWM" | "RssAnon"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024;
}
