/** Removes files and trees, without following links or crossing into mounted file systems. */
import { reasonOf, VsockboxError } from "../../errors.ts";
import { type DirectoryEntry, DT_REG, type InodeStatus } from "../../ffi/directory-calls.ts";
import {
  baseName,
  type BytesPath,
  showPath,
  withoutTrailingSlashes,
} from "../../files/bytes-path.ts";
import { DirectoryHandle, isMountPoint, isSameFile } from "../../files/directory-handle.ts";
import { DirectoryStack } from "../../files/directory-stack.ts";
import { fileKind } from "../../files/facts.ts";
import { openResolvedDirectory, resolvePath } from "../../files/resolve-path.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { isFileName } from "../../protocols/agent/paths.ts";
import { FileFailures } from "../transfer/file-failures.ts";
import { fileError } from "../transfer/transfer.ts";

/** How files are removed. */
export interface RemoveOptions {
  /** Removes directories with their content. */
  recursive: boolean;
  /** A missing file is not an error. */
  force: boolean;
  /** Lists failures in the result instead of throwing the first one. */
  report: boolean;
}

/** Facts of an operand by which {@link reasonNotToRemove} decides. */
export interface Removal {
  /** The last component of the path. */
  name: string;
  status: InodeStatus | undefined;
  /** The directory that has it. */
  parent: InodeStatus;
  /** The root directory. */
  root: InodeStatus;
}

/**
 * Returns why an operand is never removed, by the rules of rm(1): the root directory under any name,
 * `.` and `..`, and mount points. The root is compared by its inode, since `/.`, `//` and `/etc/..`
 * are the root, too. Undefined: it may be removed.
 */
export function reasonNotToRemove(removal: Removal): string | undefined {
  const { name, status, root } = removal;
  if (status !== undefined && isSameFile(status, root)) return "it is the root directory";
  if (name === "") return "it is the root directory";
  if (name === "." || name === "..") return "a directory is not removed by that name";
  return isMountPoint(removal) ? "a file system is mounted there" : undefined;
}

/**
 * Removes a file or, with `recursive`, a tree. A failure in a tree does not stop the removal of the
 * rest.
 *
 * @returns the number of removed files and directories, and with `report` the failures.
 * @throws {VsockboxError} USAGE for an operand that is never removed; IO.
 */
export async function removeFile(
  path: BytesPath,
  { recursive, force, report }: RemoveOptions,
  pause: () => Promise<void>,
): Promise<JsonObject> {
  const { parent, name } = assertRemovable(path);
  using _parent = parent;
  const status = parent.find(name);
  if (status === undefined && force) return { removed: 0 };
  const isDirectory = status !== undefined && fileKind(status) === "directory";
  if (isDirectory && !recursive) throw directoryError(path);
  if (!isDirectory && path.at(-1) === SLASH && status !== undefined) throw notDirectory();
  const failures = new FileFailures();
  const entry = { directory: parent, name, path };
  const removed = await removeEntryOrTree(entry, failures, pause);
  const { errors, errorCount } = failures;
  if (errorCount === 0) return { removed };
  if (report) return { removed, ...failures.toWire() };
  const more = errorCount > 1 ? `; ${errorCount - 1} more could not be removed` : "";
  throw new VsockboxError({
    code: "IO",
    operation: "remove",
    address: showPath(path),
    message: `${errors[0]?.message ?? "it failed"}${more}`,
    errno: errors[0]?.errno,
  });
}

/**
 * Removes a file or tree below a directory, as far as its path has no links there. A missing one is no
 * error.
 *
 * @param path the whole path, which begins with `root`.
 * @returns the number of removed files and directories, and the failures.
 * @throws {VsockboxError} USAGE for a path that is not below `root`; IO.
 */
export async function removeBeneath(
  root: BytesPath,
  path: BytesPath,
  pause: () => Promise<void>,
): Promise<JsonObject> {
  const names = namesBelow(root, path);
  const name = names.pop();
  const failures = new FileFailures();
  using parent = openBelow(openResolvedDirectory(root), names);
  const status = name === undefined ? undefined : parent?.find(name);
  if (parent === undefined || name === undefined || status === undefined) return { removed: 0 };
  if (isMountPoint({ status, parent: parent.status() })) throw mountedError(path);
  const removed = await removeEntryOrTree({ directory: parent, name, path }, failures, pause);
  return { removed, ...failures.toWire() };
}

/**
 * Returns the components of a path after its root.
 *
 * @throws {VsockboxError} USAGE unless they are names.
 */
export function namesBelow(root: BytesPath, path: BytesPath): Uint8Array[] {
  const prefix = root.at(-1) === SLASH ? root : Buffer.concat([root, Buffer.from("/")]);
  const rest = path.subarray(0, prefix.length).equals(prefix) ? path.subarray(prefix.length) : "";
  const names = rest
    .toString("latin1")
    .split("/")
    .map((name) => Buffer.from(name, "latin1"));
  if (names.every((name) => name.length > 0 && isFileName(name))) return names;
  throw new VsockboxError({
    code: "USAGE",
    operation: "remove",
    address: showPath(path),
    message: `it is not below ${showPath(root)}`,
  });
}

/** Opens a directory by its names; undefined if it does not exist. Closes the root. */
function openBelow(
  root: DirectoryHandle,
  names: readonly Uint8Array[],
): DirectoryHandle | undefined {
  let handle = root;
  try {
    for (const name of names) {
      using above = handle;
      handle = above.openDirectoryPath(name);
    }
    return handle;
  } catch (thrown) {
    if (reasonOf(thrown).errno !== "ENOENT") throw thrown;
    return undefined;
  }
}

function mountedError(path: BytesPath): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "remove",
    address: showPath(path),
    message: "a file system is mounted there",
    errno: "EBUSY",
  });
}

/**
 * Opens the directory that contains an operand.
 *
 * @returns the directory, which the caller closes, and the name in it.
 * @throws {VsockboxError} USAGE for an operand that is never removed.
 */
export function assertRemovable(path: BytesPath): { parent: DirectoryHandle; name: Uint8Array } {
  const last = baseName(path);
  using root = DirectoryHandle.openPath(Buffer.from("/"));
  const refuse = (reason: string) => {
    return new VsockboxError({
      code: "USAGE",
      operation: "remove",
      address: showPath(path),
      message: `${reason}: it is never removed`,
      hint: "name the files in it",
    });
  };
  const written = { name: last.toString(), status: undefined };
  const byName = reasonNotToRemove({ ...written, parent: root.status(), root: root.status() });
  if (byName !== undefined) throw refuse(byName);
  if (path.at(-1) === SLASH && leadsToRoot(path, root)) throw refuse("it is the root directory");
  // Without trailing slashes: with them the kernel would follow a link, and its target be removed.
  const resolved = resolvePath(withoutTrailingSlashes(path), false);
  const { directory, name, status } = resolved;
  const removal = { status, parent: directory.status(), root: root.status() };
  const reason = reasonNotToRemove({ ...removal, name: last.toString() });
  if (reason === undefined && name !== undefined) return { parent: directory, name };
  directory.close();
  throw refuse(reason ?? "it has no name");
}

const SLASH = 0x2f;

function leadsToRoot(path: BytesPath, root: DirectoryHandle): boolean {
  try {
    using directory = openResolvedDirectory(path);
    return isSameFile(directory.status(), root.status());
  } catch {
    return false;
  }
}

/**
 * Removes an entry of a directory with its content. Failures in a tree are noted.
 *
 * @returns the number of removed files and directories.
 * @throws an Error with the errno's name in `code` if an entry that is not a directory cannot be removed.
 */
export async function removeEntryOrTree(
  { directory, name, path }: { directory: DirectoryHandle; name: Uint8Array; path: BytesPath },
  failures: FileFailures,
  pause: () => Promise<void>,
): Promise<number> {
  const status = directory.find(name);
  if (status !== undefined && fileKind(status) === "directory") {
    return removeTree(directory, name, path, failures, pause);
  }
  directory.unlink(name);
  return 1;
}

/** Position in a directory that is being removed. */
interface Cursor {
  entries: readonly DirectoryEntry[];
  next: number;
  /** Whether an entry of it could not be removed. */
  isKept: boolean;
}

function cursorOf(handle: DirectoryHandle): Cursor {
  return { entries: handle.entries(), next: 0, isKept: false };
}

/** Returns the number of removed files and directories. */
async function removeTree(
  parent: DirectoryHandle,
  root: Uint8Array,
  path: BytesPath,
  failures: FileFailures,
  pause: () => Promise<void>,
): Promise<number> {
  let removed = 0;
  const handle = parent.openDirectory(root);
  using stack = new DirectoryStack<Cursor>(handle, path, cursorOf(handle));
  const attempt = (name: Uint8Array | undefined, action: () => void) => {
    try {
      action();
      return true;
    } catch (thrown) {
      failures.note(fileError("remove", stack.shown(name), thrown));
      stack.state.isKept = true;
      return false;
    }
  };
  for (;;) {
    await pause();
    const { state } = stack;
    const entry = state.entries[state.next++];
    if (entry !== undefined) {
      attempt(entry.name, () => {
        if (removeEntry(stack, entry)) removed++;
      });
      continue;
    }
    if (stack.depth === 0) {
      if (!state.isKept && attempt(undefined, () => parent.removeDirectory(root))) removed++;
      return removed;
    }
    const left = stack.name;
    if (!attempt(undefined, () => stack.leave())) continue;
    // The entry that could not be removed has been noted already.
    if (state.isKept) stack.state.isKept = true;
    else if (attempt(left, () => stack.top.removeDirectory(left))) removed++;
  }
}

/** Removes an entry, or enters a directory and returns false. */
function removeEntry(stack: DirectoryStack<Cursor>, { name, type }: DirectoryEntry): boolean {
  const { top } = stack;
  // unlinkat(2) refuses a directory that has replaced the file since the listing.
  if (type === DT_REG) {
    top.unlink(name);
    return true;
  }
  const status = top.find(name);
  // Another process has removed it.
  if (status === undefined) return false;
  if (fileKind(status) !== "directory") {
    top.unlink(name);
    return true;
  }
  if (isMountPoint({ status, parent: top.status() })) {
    throw new VsockboxError({
      code: "IO",
      operation: "remove",
      address: showPath(stack.shown(name)),
      message: "a file system is mounted there",
      errno: "EBUSY",
    });
  }
  const handle = top.openDirectory(name);
  try {
    stack.enter(handle, name, cursorOf(handle));
  } catch (thrown) {
    handle.close();
    throw thrown;
  }
  return false;
}

/** The kernel's error for a path with a slash after a link or file. */
function notDirectory(): Error {
  return Object.assign(new Error("ENOTDIR: not a directory, unlink"), { code: "ENOTDIR" });
}

function directoryError(path: BytesPath): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "remove",
    address: showPath(path),
    message: "it is a directory",
    errno: "EISDIR",
    hint: "--recursive (-r) removes directories with all that is in them",
  });
}
