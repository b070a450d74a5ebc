/**
 * States of the mounted file systems, for metrics. statfs(2) of a file system whose server has stopped
 * does not return: it runs in a thread of the runtime's pool, has a time limit, and is not called again
 * for the same mount until it has returned, so that it holds one thread and no scrape.
 */
import { statfs } from "node:fs/promises";
import { type MountInfo, parseMountInfo } from "../../protocols/procfs/mount-info.ts";
import type { FileSystemState, FileSystemUsage } from "./guest-metrics.ts";
import { MAX_DEVICES } from "./guest-metrics.ts";
import { MAX_TEXT_LENGTH } from "../../protocols/agent/metric-records.ts";

/** Time limit for all file systems together, in milliseconds. */
const STATFS_TIMEOUT_MS = 1000;

/** Types without blocks, and those of a server on a network, which may not answer for minutes. */
const IGNORED_TYPES: ReadonlySet<string> = new Set([
  ...["autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"],
  ...["devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore"],
  ...["resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"],
  ...["afs", "ceph", "cifs", "glusterfs", "nfs", "nfs4", "smb3", "fuse"],
]);

/**
 * Returns the mounts whose file systems have metrics: of several mounts of one file system that with the
 * shortest path, of several on one path the last.
 */
export function measuredMounts(mounts: readonly MountInfo[]): MountInfo[] {
  const visible = new Map(mounts.map((mount) => [mount.path, mount]));
  const chosen = new Map<string, MountInfo>();
  for (const mount of visible.values()) {
    const { type, path, deviceNumber } = mount;
    const isIgnored =
      IGNORED_TYPES.has(type) || type.startsWith("fuse.") || /^\/(?:proc|sys)\//.test(path);
    // A longer path would be cut, and might then be equal to another one.
    if (isIgnored || path.length > MAX_TEXT_LENGTH) continue;
    const other = chosen.get(deviceNumber);
    if (other === undefined || path.length < other.path.length) chosen.set(deviceNumber, mount);
  }
  return [...chosen.values()].slice(0, MAX_DEVICES);
}

/** Calls of statfs(2) that have not returned, by path. */
const pending = new Set<string>();

/** Returns the space and inodes of the file system at a path; rejects if it cannot. */
type AskUsage = (path: string) => Promise<FileSystemUsage>;

/**
 * Returns the states of the file systems of a mountinfo; those without any blocks are left out.
 *
 * @param askUsage and `timeoutMs` are statfs(2) and its limit unless a test has others.
 */
export async function readFileSystemStates(
  mountInfo: string,
  askUsage: AskUsage = statUsage,
  timeoutMs = STATFS_TIMEOUT_MS,
): Promise<FileSystemState[]> {
  const timeout = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => timeout.resolve(undefined), timeoutMs);
  try {
    const states = await Promise.all(
      measuredMounts(parseMountInfo(mountInfo)).map(async (mount) => ({
        path: mount.path,
        type: mount.type,
        source: mount.source,
        isReadOnly: mount.options.includes("ro"),
        usage: await Promise.race([usageOf(mount.path, askUsage), timeout.promise]),
      })),
    );
    return states.filter(({ usage }) => usage?.sizeBytes !== 0);
  } finally {
    clearTimeout(timer);
  }
}

async function usageOf(path: string, askUsage: AskUsage): Promise<FileSystemUsage | undefined> {
  if (pending.has(path)) return undefined;
  pending.add(path);
  try {
    return await askUsage(path);
  } catch {
    return undefined;
  } finally {
    pending.delete(path);
  }
}

async function statUsage(path: string): Promise<FileSystemUsage> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  return {
    sizeBytes: blocks * bsize,
    freeBytes: bfree * bsize,
    availableBytes: bavail * bsize,
    files,
    freeFiles: ffree,
  };
}
