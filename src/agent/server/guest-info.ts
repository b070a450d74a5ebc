/** Answer of an agent to `info`: itself and its guest. */
import { readFileSync } from "node:fs";
import {
  arch,
  cpus,
  freemem,
  hostname,
  loadavg,
  release,
  totalmem,
  uptime,
  version,
} from "node:os";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { FEATURES, PROTOCOL_VERSION } from "../../protocols/agent/hello.ts";
import type { MemoryBudget } from "../channel/memory-budget.ts";
import { COMMIT, TARGET, VERSION } from "../../version.ts";

/** Returns the facts for `vsockbox info`: times in seconds, memory in bytes. */
export function guestInfo(sessions: {
  open: number;
  detached: number;
  budget: Pick<MemoryBudget, "usedBytes" | "limitBytes">;
}): JsonObject {
  const { usedBytes, limitBytes } = sessions.budget;
  return {
    version: VERSION,
    commit: COMMIT,
    target: TARGET,
    protocol: PROTOCOL_VERSION,
    features: FEATURES,
    pid: process.pid,
    uid: process.getuid?.() ?? 0,
    uptime: Math.round(process.uptime()),
    sessions: sessions.open,
    detached: sessions.detached,
    memory: ownMemory(),
    buffers: { used_bytes: usedBytes, limit_bytes: limitBytes },
    machine: {
      hostname: hostname(),
      kernel: release(),
      kernelBuild: version(),
      architecture: arch(),
      cpus: cpus().length,
      uptime: Math.round(uptime()),
      load: loadavg().map((load) => Math.round(load * 100) / 100),
      memory: { total: totalmem(), available: availableMemory() },
      timeMs: Date.now(),
    },
  };
}

/** Resident memory; 0 without /proc. */
function ownMemory(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

/** MemAvailable of proc(5): free memory alone does not count reclaimable caches. */
function availableMemory(): number {
  try {
    const found = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"));
    if (found !== null) return Number(found[1]) * 1024;
  } catch {
    // Without /proc only the runtime's number is available.
  }
  return freemem();
}
