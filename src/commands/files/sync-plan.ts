/**
 * What a mirror has to do: the difference between two trees. Paths are relative to their roots, with one
 * character a byte (Latin-1), since names need not be UTF-8.
 */
import type { FileKind } from "../../files/facts.ts";

/** A file of a tree, as far as it is compared. */
export interface SyncEntry {
  type: FileKind;
  /** In bytes. */
  size: number;
  /** Permission bits. */
  mode: number;
  mtimeMs: number;
  /** The target of a symbolic link. */
  target: string | undefined;
}

/** All entries of a tree below its root, by path. */
export type SyncTree = ReadonlyMap<string, SyncEntry>;

/** Options of {@link planSync}. */
export interface SyncRules {
  /** Removes what the source does not have. */
  deletes: boolean;
  /** Compares the content of all files, in place of size and time. */
  checksum: boolean;
}

/** What is to be done, in this order. */
export interface SyncPlan {
  /** Paths of the destination; what is in a directory is removed with it. */
  removals: string[];
  /** Paths of the source: files, links and directories. */
  copies: string[];
  /** Directories that stand where the source has a file, or the reverse; without `deletes` they stay. */
  conflicts: string[];
  /** Paths of the source that cannot be copied: devices, FIFOs, sockets. */
  unsupported: string[];
}

/** Times that differ by less are the same, in milliseconds: they are compared as floating point. */
const SAME_TIME_MS = 1;

const PERMISSIONS = 0o777;
const COPIED: ReadonlySet<FileKind> = new Set<FileKind>(["file", "directory", "link"]);

/** Returns the difference of two trees. */
export function planSync(source: SyncTree, destination: SyncTree, rules: SyncRules): SyncPlan {
  const plan: SyncPlan = { removals: [], copies: [], conflicts: [], unsupported: [] };
  const blocked = new Set<string>();
  const replaced = new Set<string>();
  for (const path of [...source.keys()].toSorted()) {
    const entry = source.get(path);
    if (entry === undefined || isBelowAny(path, blocked)) continue;
    const existing = destination.get(path);
    if (!COPIED.has(entry.type)) {
      plan.unsupported.push(path);
    } else if (existing !== undefined && isOneDirectory(entry, existing) && !rules.deletes) {
      plan.conflicts.push(path);
      blocked.add(path);
    } else if (existing === undefined || isOneDirectory(entry, existing)) {
      plan.copies.push(path);
      if (existing !== undefined) replaced.add(path);
    } else if (differs(entry, existing, rules)) {
      plan.copies.push(path);
    }
  }
  if (rules.deletes) {
    const removed = new Set<string>();
    for (const path of [...destination.keys()].toSorted()) {
      if ((source.has(path) && !replaced.has(path)) || isBelowAny(path, removed)) continue;
      removed.add(path);
      plan.removals.push(path);
    }
  }
  return plan;
}

/** Returns a set of paths with all directories above them. */
export function withAncestors(paths: Iterable<string>): Set<string> {
  const all = new Set<string>();
  for (const path of paths) {
    for (let one = path; one !== "" && !all.has(one); one = parentPath(one)) all.add(one);
  }
  return all;
}

/** Returns the paths without those that are below another one. */
export function outermost(paths: ReadonlySet<string>): string[] {
  return [...paths].filter((path) => !isBelowAny(path, paths)).toSorted();
}

function differs(entry: SyncEntry, existing: SyncEntry, { checksum }: SyncRules): boolean {
  if (entry.type !== existing.type) return true;
  if (entry.type === "link") return entry.target !== existing.target;
  if ((entry.mode & PERMISSIONS) !== (existing.mode & PERMISSIONS)) return true;
  if (entry.type === "directory") return false;
  return checksum || entry.size !== existing.size || !isSameTime(entry.mtimeMs, existing.mtimeMs);
}

/** A destination without fractions of a second may be a file system that keeps none. */
function isSameTime(source: number, existing: number): boolean {
  if (Math.abs(source - existing) < SAME_TIME_MS) return true;
  return existing % 1000 === 0 && Math.floor(source / 1000) * 1000 === existing;
}

function isOneDirectory(entry: SyncEntry, existing: SyncEntry): boolean {
  return (entry.type === "directory") !== (existing.type === "directory");
}

function isBelowAny(path: string, directories: ReadonlySet<string>): boolean {
  if (directories.size === 0) return false;
  for (let one = parentPath(path); one !== ""; one = parentPath(one)) {
    if (directories.has(one)) return true;
  }
  return false;
}

/** The directory of a path; empty for the root. */
function parentPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}
