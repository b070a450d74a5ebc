/**
 * Files that a service opens by name on its own: a log, a pid file, a socket. In a directory that other
 * users may write to, one of them could have put a link to a file of this user there, or a file to read
 * what is written. The rule is that of the kernel's protected_symlinks and protected_hardlinks,
 * proc_sys_fs(5), for every such directory, whether it has the sticky bit or not: links and files there
 * must belong to this user or to root.
 */
import { type Operation } from "../operations.ts";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";

/** As the kernel has it: path_resolution(7). */
const MAX_LINKS = 40;

const WORLD_WRITABLE = 0o002;
const GROUP_WRITABLE = 0o020;

/** Links in /proc lead to open files, whatever their text. */
const MAGIC_LINK = /^\/proc\/(?:self|thread-self|\d+)\//;

/** This process's effective user and group. */
export interface Self {
  uid: number;
  gid: number;
}

/** What decides whether a directory, link or file is trusted; a part of struct stat. */
export interface OwnerAndMode {
  uid: number;
  gid: number;
  mode: number;
}

/** Whether the owner of a file could change it anyway, as root can, or is this user. */
export function isOwnerTrusted(uid: number, self: Self): boolean {
  return uid === 0 || uid === self.uid;
}

/** Whether users other than this one and root may make or replace files in a directory. */
export function isShared({ uid, gid, mode }: OwnerAndMode, self: Self): boolean {
  if (!isOwnerTrusted(uid, self) || (mode & WORLD_WRITABLE) !== 0) return true;
  return (mode & GROUP_WRITABLE) !== 0 && gid !== 0 && gid !== self.gid;
}

function thisProcess(): Self {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

function componentsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** The operation on the path, for errors. */
export interface PathUse {
  /** As in "open log file". */
  operation: Operation;
  self?: Self;
}

function refused(operation: Operation, address: string, message: string): VsockboxError {
  return new VsockboxError({
    code: "REFUSED",
    operation,
    address,
    message,
    errno: "EACCES",
    hint: "use a directory that only this user may write to, such as /run or /var/log",
  });
}

/** Undefined for what does not exist or cannot be reached: opening it reports the reason. */
function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Resolves the links of a path, of which the last components need not exist.
 *
 * @returns an absolute path without links, or with a link of /proc that stays as it is.
 * @throws {VsockboxError} REFUSED for a link of another user in a directory that others may write to.
 */
export function resolveTrusted(path: string, { operation, self = thisProcess() }: PathUse): string {
  // Not by resolve(): `..` after a link leads to the parent of the link's target.
  const rest = componentsOf(isAbsolute(path) ? path : `${process.cwd()}/${path}`);
  let current = "/";
  for (let links = 0; ;) {
    const name = rest.shift();
    if (name === undefined) return current;
    if (name === "..") {
      current = dirname(current);
      continue;
    }
    const next = join(current, name);
    const status = statusOf(next);
    if (status === undefined || MAGIC_LINK.test(next)) return join(next, ...rest);
    if (!status.isSymbolicLink()) {
      current = next;
      continue;
    }
    if (!isOwnerTrusted(status.uid, self) && isShared(statSync(current), self)) {
      const message = `${next === path ? "it" : next} is a symbolic link of user ${status.uid}, in a directory that others may write to`;
      throw refused(operation, path, message);
    }
    if (++links > MAX_LINKS) throw refused(operation, path, "too many symbolic links");
    const target = readlinkSync(next);
    if (isAbsolute(target)) current = "/";
    rest.unshift(...componentsOf(target));
  }
}

/**
 * Opens a file to append to, or makes it.
 *
 * @param mode permission bits of a new file.
 * @returns a descriptor that the caller closes.
 * @throws {VsockboxError} REFUSED as {@link resolveTrusted}, and for a file of another user, a second
 * hard link or a special file in a directory that others may write to; else CANNOT_CREATE.
 */
export function openTrustedForAppending(path: string, mode: number, use: PathUse): number {
  const { operation, self = thisProcess() } = use;
  const resolved = resolveTrusted(path, use);
  const isMagicLink = MAGIC_LINK.test(resolved);
  let fd: number;
  try {
    const parent = statSync(dirname(resolved));
    const shared = !isMagicLink && isShared(parent, self);
    let flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
    if (!isMagicLink) flags |= constants.O_NOFOLLOW;
    // A FIFO of another user would block the open.
    if (shared) flags |= constants.O_NONBLOCK;
    fd = openSync(resolved, flags, mode);
    if (!shared) return fd;
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation,
      address: path,
      message,
      errno,
      cause: thrown,
    });
  }
  const status = fstatSync(fd);
  const problem = !status.isFile()
    ? "it is not a regular file"
    : !isOwnerTrusted(status.uid, self)
      ? `it belongs to user ${status.uid}`
      : status.nlink > 1
        ? "it has another hard link"
        : undefined;
  if (problem === undefined) return fd;
  closeSync(fd);
  throw refused(operation, path, `${problem}, in a directory that others may write to`);
}
