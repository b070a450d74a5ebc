/**
 * An open directory, and what can be done with the names in it. Every operation names one entry and
 * follows no link, so that it stays in this directory whatever is put into the place of its path.
 */
import { closeSync, constants } from "node:fs";
import {
  AT_FDCWD,
  changeOwnerAt,
  type DirectoryEntry,
  type InodeStatus,
  linkAt,
  linkDescriptorAt,
  makeDirectoryAt,
  makeLinkAt,
  makeNodeAt,
  O_PATH,
  openAt,
  openFollowing,
  readEntries,
  readLinkAt,
  removeDirectoryAt,
  renameAt,
  renameNewAt,
  setTimesAt,
  statAt,
  statDescriptor,
  unlinkAt,
} from "../ffi/directory-calls.ts";
import { reasonOf } from "../errors.ts";
import type { FileTime } from "../file-stat.ts";

const { O_RDONLY, O_DIRECTORY } = constants;
const PARENT = Buffer.from("..");
const SELF = Buffer.from(".");

/** What identifies a file as long as it exists. */
export type Identity = Pick<InodeStatus, "device" | "inode">;

/** Whether both are the same file. */
export function isSameFile(one: Identity, other: Identity): boolean {
  return one.inode === other.inode && one.device === other.device;
}

/** Whether an entry of a directory is a mount point. */
export function isMountPoint({
  status,
  parent,
}: {
  status: InodeStatus | undefined;
  parent: InodeStatus;
}): boolean {
  if (status === undefined || (status.mode & constants.S_IFMT) !== constants.S_IFDIR) return false;
  // Before Linux 5.8, a directory that is bound within its own file system is not recognised.
  return status.isMountPoint ?? status.device !== parent.device;
}

/** An open directory. Errors of its methods have the errno's name in `code`. */
export class DirectoryHandle implements Disposable {
  /** Closed by {@link close} unless it was borrowed. */
  readonly fd: number;
  readonly #isOwn: boolean;

  private constructor(fd: number, isOwn: boolean) {
    this.fd = fd;
    this.#isOwn = isOwn;
  }

  /** Opens a directory by its path, links followed by the kernel. */
  static open(path: Uint8Array): DirectoryHandle {
    return new DirectoryHandle(openFollowing(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), true);
  }

  /** Opens a directory by its path only to name files in it, links followed by the kernel. */
  static openPath(path: Uint8Array): DirectoryHandle {
    return new DirectoryHandle(openFollowing(AT_FDCWD, path, O_PATH | O_DIRECTORY), true);
  }

  /** Owns the descriptor of an open directory. */
  static adopt(fd: number): DirectoryHandle {
    return new DirectoryHandle(fd, true);
  }

  /** Uses a descriptor that its owner closes. */
  static borrow(fd: number): DirectoryHandle {
    return new DirectoryHandle(fd, false);
  }

  /** The directory's own facts. */
  status(): InodeStatus {
    return statDescriptor(this.fd);
  }

  /** The facts of an entry, of a link itself; undefined if it does not exist. */
  find(name: Uint8Array): InodeStatus | undefined {
    return statAt(this.fd, name);
  }

  /** All entries, in the file system's order. The descriptor must not be an O_PATH one. */
  entries(): DirectoryEntry[] {
    return readEntries(this.fd);
  }

  /** Opens an entry that is not a link. The caller closes the descriptor. */
  openFile(name: Uint8Array, flags: number, mode = 0): number {
    return openAt(this.fd, name, flags, mode);
  }

  /** Opens a directory in it. */
  openDirectory(name: Uint8Array): DirectoryHandle {
    return new DirectoryHandle(openAt(this.fd, name, O_RDONLY | O_DIRECTORY), true);
  }

  /** Opens a directory in it only to name files there: that needs no permission to read it. */
  openDirectoryPath(name: Uint8Array): DirectoryHandle {
    return new DirectoryHandle(openAt(this.fd, name, O_PATH | O_DIRECTORY), true);
  }

  /** Opens an entry, a link followed by the kernel. The caller closes the descriptor. */
  followFile(name: Uint8Array, flags: number): number {
    return openFollowing(this.fd, name, flags);
  }

  /** Opens a directory in it, a link followed by the kernel, only to name files there. */
  followDirectory(name: Uint8Array): DirectoryHandle {
    return new DirectoryHandle(openFollowing(this.fd, name, O_PATH | O_DIRECTORY), true);
  }

  /** Opens this directory once more, to read its entries. */
  reopen(): DirectoryHandle {
    return this.openDirectory(SELF);
  }

  /** Opens the directory above. */
  openParent(): DirectoryHandle {
    try {
      return this.openDirectory(PARENT);
    } catch (thrown) {
      // Without permission to read it, its entries can be named all the same.
      if (reasonOf(thrown).errno !== "EACCES") throw thrown;
      return this.openDirectoryPath(PARENT);
    }
  }

  /** Makes a directory. The umask clears its bits of the mode. */
  makeDirectory(name: Uint8Array, mode: number): void {
    makeDirectoryAt(this.fd, name, mode);
  }

  /** Removes an entry that is not a directory. */
  unlink(name: Uint8Array): void {
    unlinkAt(this.fd, name);
  }

  /** Removes an empty directory. */
  removeDirectory(name: Uint8Array): void {
    removeDirectoryAt(this.fd, name);
  }

  /** Renames an entry, which replaces what has the new name. */
  rename(name: Uint8Array, to: DirectoryHandle, newName: Uint8Array): void {
    renameAt({ directory: this.fd, name }, { directory: to.fd, name: newName });
  }

  /**
   * Renames an entry; fails with EEXIST if anything has the new name.
   *
   * A file system without RENAME_NOREPLACE makes another link instead, and for a directory, or if
   * it has no links either, looks first.
   */
  renameNew(name: Uint8Array, to: DirectoryHandle, newName: Uint8Array): void {
    const from = { directory: this.fd, name };
    const target = { directory: to.fd, name: newName };
    try {
      return renameNewAt(from, target);
    } catch (thrown) {
      if (!isUnsupported(thrown)) throw thrown;
    }
    try {
      linkAt(from, target);
    } catch (thrown) {
      if (!isUnsupported(thrown)) throw thrown;
      if (to.find(newName) !== undefined) throw alreadyExists();
      return renameAt(from, target);
    }
    unlinkAt(this.fd, name);
  }

  /** Makes another name for the file at a path below this directory; fails with EEXIST. */
  linkTo(path: Uint8Array, to: DirectoryHandle, name: Uint8Array): void {
    linkAt({ directory: this.fd, name: path }, { directory: to.fd, name });
  }

  /** Names an open file that has no name yet; fails with EEXIST. Needs /proc. */
  linkDescriptor(fd: number, name: Uint8Array): void {
    linkDescriptorAt(fd, { directory: this.fd, name });
  }

  /** Makes a symbolic link. */
  makeLink(target: Uint8Array, name: Uint8Array): void {
    makeLinkAt(target, { directory: this.fd, name });
  }

  /** The target of a symbolic link. */
  readLink(name: Uint8Array): Uint8Array {
    return readLinkAt({ directory: this.fd, name });
  }

  /** Makes a FIFO, socket or device node of the kind that `status` has. */
  makeNode(name: Uint8Array, status: InodeStatus, permissions: number): void {
    const mode = (status.mode & constants.S_IFMT) | permissions;
    makeNodeAt({ directory: this.fd, name }, status, mode);
  }

  /** Changes the owner of an entry itself. */
  changeOwner(name: Uint8Array, uid: number, gid: number): void {
    changeOwnerAt({ directory: this.fd, name }, uid, gid);
  }

  /** Sets the times of an entry itself. */
  setTimes(name: Uint8Array, times: { accessed: FileTime; modified: FileTime }): void {
    setTimesAt({ directory: this.fd, name }, times);
  }

  /** Closes the descriptor, unless it was borrowed. */
  close(): void {
    if (this.#isOwn) closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What a file system without an operation answers; EPERM is vfat's answer to a link. */
function isUnsupported(thrown: unknown): boolean {
  const { errno } = reasonOf(thrown);
  return errno === "EINVAL" || errno === "ENOSYS" || errno === "EOPNOTSUPP" || errno === "EPERM";
}

function alreadyExists(): Error {
  return Object.assign(new Error("EEXIST: file already exists, rename"), { code: "EEXIST" });
}
