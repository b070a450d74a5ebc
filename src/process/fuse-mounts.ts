/**
 * FUSE mounts of this mount namespace. They come from /proc/self/mountinfo, so that no file system is asked:
 * the process of a mount may be stopped, or have ended.
 */
import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { type MountInfo, mountAt, parseMountInfo } from "../protocols/procfs/mount-info.ts";
import { shellWord } from "../text/shell-word.ts";

const MOUNTS = "/proc/self/mountinfo";

/** The types of what `vsockbox mount` mounts begin with this. */
const FUSE_TYPE_PREFIX = "fuse.";

/** Returns the mounts; undefined without /proc. */
export function readMounts(): MountInfo[] | undefined {
  try {
    return parseMountInfo(readFileSync(MOUNTS, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Returns the absolute path of a directory. Links above it are resolved, the directory itself is not
 * inspected: it may be a mount point.
 *
 * @throws the error of realpath(3) for the directory above it.
 */
export function mountPointPath(directory: string): string {
  const trimmed = directory.replace(/\/+$/, "");
  if (trimmed === "") return "/";
  return join(realpathSync(dirname(trimmed)), basename(trimmed));
}

/** Returns the FUSE mount at a path, which a further mount would hide; undefined: there is none. */
export function fuseMountAt(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  const mount = mountAt(mounts, path);
  return mount?.type.startsWith(FUSE_TYPE_PREFIX) === true ? mount : undefined;
}

/**
 * Refuses to mount on a FUSE mount.
 *
 * @param path the absolute path of the directory.
 * @param side completes "end that mount first" in the hint, such as " in the guest".
 * @throws {VsockboxError} CANNOT_CREATE with EBUSY.
 */
export function refuseSecondMount(path: string, side = ""): void {
  const mount = fuseMountAt(readMounts() ?? [], path);
  if (mount === undefined) return;
  throw new VsockboxError({
    ...{ code: "CANNOT_CREATE", operation: "mount", address: path },
    message: `${mount.source} (${mount.type}) is mounted there already`,
    errno: "EBUSY",
    hint: `end that mount first${side}: vsockbox umount ${shellWord(path)}`,
  });
}
