/** Reads what the metrics of an agent and its guest are made of. Loaded by the first request for them. */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { unsignedOf } from "../../protocols/procfs/numbers.ts";
import type { Metric } from "../../protocols/prometheus/text.ts";
import { COMMIT, TARGET, VERSION } from "../../version.ts";
import { agentMetrics, type AgentProcess, type AgentState } from "./agent-metrics.ts";
import { readFileSystemStates } from "./file-system-states.ts";
import { guestMetrics, PROC_FILES, type ProcFile } from "./guest-metrics.ts";

/** The part of a file below /proc that is read, in bytes: /proc/stat of 4,096 processors has 0.4 MB. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Returns all metrics of the agent, then those of its guest. */
export async function collectMetrics(
  state: Omit<AgentState, "version" | "commit" | "platform" | "process">,
): Promise<Metric[]> {
  const texts = PROC_FILES.flatMap((file): [ProcFile, string][] => {
    const text = readStart(`/proc/${file}`);
    return text === undefined ? [] : [[file, text]];
  });
  const fileSystems = await readFileSystemStates(readStart("/proc/self/mountinfo") ?? "");
  return [
    ...agentMetrics({
      ...state,
      version: VERSION,
      commit: COMMIT,
      platform: TARGET,
      process: ownProcess(),
    }),
    ...guestMetrics({ proc: new Map(texts), fileSystems, nowMs: Date.now() }),
  ];
}

/** The first {@link MAX_FILE_BYTES} of a file; undefined if it cannot be read. */
function readStart(path: string): string | undefined {
  try {
    const fd = openSync(path, "r");
    try {
      const parts: Uint8Array[] = [];
      for (let rest = MAX_FILE_BYTES; rest > 0;) {
        const part = Buffer.allocUnsafe(Math.min(rest, 64 * 1024));
        const count = readSync(fd, part);
        if (count === 0) break;
        parts.push(part.subarray(0, count));
        rest -= count;
      }
      return Buffer.concat(parts).toString();
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

function ownProcess(): AgentProcess {
  const { user, system } = process.cpuUsage();
  const limit = /^Max open files +(\S+)/m.exec(readStart("/proc/self/limits") ?? "")?.[1];
  return {
    residentBytes: orUndefined(() => process.memoryUsage.rss()),
    cpuSeconds: (user + system) / 1e6,
    startTimeSeconds: Math.round(performance.timeOrigin) / 1000,
    // One of them is that of the listing.
    openDescriptors: orUndefined(() => readdirSync("/proc/self/fd").length - 1),
    maxDescriptors: unsignedOf(limit),
  };
}

/** The value; undefined without /proc. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
