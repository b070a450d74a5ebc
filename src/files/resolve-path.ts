/**
 * Resolving a path step by step, with a decision at each symbolic link. The kernel's own lookup
 * follows the links that other users put into /tmp unless fs.protected_symlinks is set, and realpath(3)
 * follows them always.
 */
import { VsockboxError } from "../errors.ts";
import { constants } from "node:fs";
import type { InodeStatus } from "../ffi/directory-calls.ts";
import { PROC_SUPER_MAGIC, filesystemMagic } from "../ffi/mount.ts";
import { showPath } from "./bytes-path.ts";
import { DirectoryHandle } from "./directory-handle.ts";
import { mayFollowLink } from "./link-policy.ts";

/** As many links as the kernel follows in one path, path_resolution(7). */
const MAX_LINKS = 40;

const SLASH = 0x2f;

/** A resolved path: an open directory and a name in it. Disposing it closes the directory. */
export interface ResolvedPath extends Disposable {
  /** The directory that has the entry, opened only to name files; the directory itself without a name. */
  directory: DirectoryHandle;
  /** Undefined if the path ends in `.`, `..` or is the root. */
  name: Uint8Array | undefined;
  /** Undefined if nothing has that name. */
  status: InodeStatus | undefined;
}

/** A path, split into the components that are still to be resolved. */
function componentsOf(path: Uint8Array): Uint8Array[] {
  const components: Uint8Array[] = [];
  for (let begin = 0; begin <= path.length;) {
    const slash = path.indexOf(SLASH, begin);
    const end = slash === -1 ? path.length : slash;
    if (end > begin) components.push(path.subarray(begin, end));
    begin = end + 1;
  }
  // With a slash after it, a link is followed and a directory is meant.
  if (path.at(-1) === SLASH) components.push(Buffer.from("."));
  return components;
}

/**
 * Resolves a path; a link at its end is followed with `follow`.
 *
 * @throws {VsockboxError} REFUSED for a link that another user may have put there.
 * @throws errors with the errno's name in `code`: ENOENT if a directory does not exist, ELOOP.
 */
export function resolvePath(path: Uint8Array, follow: boolean): ResolvedPath {
  const isAbsolute = path[0] === SLASH;
  let directory = DirectoryHandle.openPath(Buffer.from(isAbsolute ? "/" : "."));
  const rest = componentsOf(path).toReversed();
  let links = 0;
  const goTo = (next: DirectoryHandle) => {
    directory.close();
    directory = next;
  };
  const found = (name: Uint8Array | undefined, status: InodeStatus | undefined): ResolvedPath => {
    const resolved = directory;
    return { directory: resolved, name, status, [Symbol.dispose]: () => resolved.close() };
  };
  try {
    for (;;) {
      const name = rest.pop();
      if (name === undefined) return found(undefined, directory.status());
      const isLast = rest.length === 0;
      if (isDots(name)) {
        goTo(directory.openDirectoryPath(name));
        continue;
      }
      const status = directory.find(name);
      const isLink = status !== undefined && isLinkMode(status.mode);
      if (isLast && (!isLink || !follow)) return found(name, status);
      if (!isLink) {
        goTo(directory.openDirectoryPath(name));
        continue;
      }
      if (++links > MAX_LINKS) throw tooManyLinks();
      assertMayFollow(directory, status, path);
      if (isProcess(directory)) {
        // The kernel resolves links of /proc itself; their text may not be a path.
        if (isLast) return found(name, status);
        goTo(directory.followDirectory(name));
        continue;
      }
      const target = directory.readLink(name);
      if (target[0] === SLASH) goTo(DirectoryHandle.openPath(Buffer.from("/")));
      rest.push(...componentsOf(target).toReversed());
    }
  } catch (thrown) {
    directory.close();
    throw thrown;
  }
}

/**
 * Opens what a path leads to, links followed.
 *
 * @returns a descriptor, which the caller closes.
 * @throws {VsockboxError} as {@link resolvePath}, and ENOENT if nothing is there.
 */
export function openResolved(path: Uint8Array, flags: number): number {
  using resolved = resolvePath(path, true);
  return openEntry(resolved, flags);
}

/**
 * Opens a directory to be read and changed, links followed.
 *
 * @throws {VsockboxError} as {@link resolvePath}.
 */
export function openResolvedDirectory(path: Uint8Array): DirectoryHandle {
  return DirectoryHandle.adopt(openResolved(path, constants.O_RDONLY | constants.O_DIRECTORY));
}

/** Opens a resolved path, links followed. The caller closes the descriptor. */
export function openEntry({ directory, name, status }: ResolvedPath, flags: number): number {
  if (name === undefined) return directory.openFile(Buffer.from("."), flags);
  // A link that is left is one of /proc.
  return status !== undefined && isLinkMode(status.mode)
    ? directory.followFile(name, flags)
    : directory.openFile(name, flags);
}

/** Whether a mode is that of a symbolic link. */
export function isLinkMode(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFLNK;
}

function tooManyLinks(): Error {
  return Object.assign(new Error("ELOOP: too many symbolic links encountered, open"), {
    code: "ELOOP",
  });
}

function isDots(name: Uint8Array): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}

function assertMayFollow(directory: DirectoryHandle, link: InodeStatus, path: Uint8Array): void {
  const uid = process.geteuid?.() ?? 0;
  if (mayFollowLink(directory.status(), link, uid)) return;
  throw new VsockboxError({
    code: "REFUSED",
    operation: "open",
    address: showPath(path),
    message: `user ${link.uid} has created a symbolic link in a directory that all users may write to`,
    errno: "EACCES",
  });
}

function isProcess(directory: DirectoryHandle): boolean {
  return filesystemMagic(`/proc/self/fd/${directory.fd}`) === PROC_SUPER_MAGIC;
}
