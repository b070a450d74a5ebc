/**
 * The files of an export as a mount uses them: one method for each operation. Paths are bytes, relative to
 * the root of the export, without a leading slash; the empty path is the root. Every method rejects with a
 * {@link RemoteError}, whose errno goes to the program that made the system call.
 */
import type { FileStat, FileSystemFacts, FileTime } from "../../file-stat.ts";
import type { VfsEntry } from "../../protocols/vfs/entries.ts";
import { errnoMessage, errnoName } from "../../system-errors.ts";

/** A failed operation on a file. */
export class RemoteError extends Error {
  override readonly name = "RemoteError";
  /** A positive errno. */
  readonly errno: number;

  constructor(errno: number) {
    super(`${errnoMessage(errno)} (${errnoName(errno)})`);
    this.errno = errno;
  }
}

/** Facts of a file. A symbolic link is a file of its own. */
export type RemoteStatus = FileStat;

/** Who makes a file. */
export interface RemoteOwner {
  uid: number;
  gid: number;
}

/** What changes of a file; undefined fields stay. */
export interface RemoteChanges {
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
  size: number | undefined;
  atime: FileTime | "now" | undefined;
  mtime: FileTime | "now" | undefined;
}

/** A name of a directory; its file's facts are undefined if the peer does not list them. */
export type ListedEntry = Pick<VfsEntry, "name" | "type" | "ino" | "stat">;

/** A part of a directory's names, without `.` and `..`. */
export interface RemotePage {
  entries: readonly ListedEntry[];
  /** Where the next part begins; undefined: this is the last one. */
  next: bigint | undefined;
}

/** A file by its path, by an open handle, or by both: the handle is then used where it can be. */
export interface RemoteTarget {
  path: Uint8Array | undefined;
  handle: number | undefined;
  /** What was last known of the open file, for a peer that finds files by their paths alone. */
  known?: RemoteStatus | undefined;
}

/** An open file. */
export interface RemoteOpened {
  handle: number;
  /** Undefined: the peer reports none. */
  status: RemoteStatus | undefined;
}

/** One file of {@link RemoteFiles.copyRange}. */
export interface RemoteRange {
  handle: number;
  offset: number;
}

/** The files of an export. */
export interface RemoteFiles {
  /** The largest read and write, in bytes. */
  readonly maxReadBytes: number;
  readonly maxWriteBytes: number;

  getStatus(target: RemoteTarget): Promise<RemoteStatus>;
  setStatus(target: RemoteTarget, changes: RemoteChanges): Promise<RemoteStatus>;
  readLink(path: Uint8Array): Promise<Uint8Array>;
  makeSymlink(path: Uint8Array, target: Uint8Array, owner: RemoteOwner): Promise<RemoteStatus>;
  /** @param mode type and permission bits. */
  makeNode(path: Uint8Array, mode: number, rdev: number, owner: RemoteOwner): Promise<RemoteStatus>;
  makeDirectory(path: Uint8Array, mode: number, owner: RemoteOwner): Promise<RemoteStatus>;
  unlink(path: Uint8Array): Promise<void>;
  removeDirectory(path: Uint8Array): Promise<void>;
  /** @param flags of renameat2(2). */
  rename(from: Uint8Array, to: Uint8Array, flags: number): Promise<void>;
  link(existing: Uint8Array, path: Uint8Array): Promise<RemoteStatus>;
  /**
   * Opens a regular file.
   *
   * @param flags of open(2), the bits that are the same on every architecture.
   */
  open(path: Uint8Array, flags: number): Promise<RemoteOpened>;
  create(
    path: Uint8Array,
    flags: number,
    mode: number,
    owner: RemoteOwner,
  ): Promise<RemoteOpened & { status: RemoteStatus }>;
  /** Resolves with fewer bytes than asked for only at the end of the file. */
  read(handle: number, offset: number, size: number): Promise<Uint8Array>;
  /**
   * Resolves with the number of bytes written. The buffer must not change until then.
   *
   * @param isAppend writes at the end of the file instead, if the peer can.
   */
  write(handle: number, offset: number, data: Uint8Array, isAppend?: boolean): Promise<number>;
  release(handle: number): Promise<void>;
  fsync(handle: number, isDataOnly: boolean): Promise<void>;
  openDirectory(path: Uint8Array): Promise<number>;
  /**
   * @param handle of {@link openDirectory}.
   * @param path of the directory, for a peer that lists by path.
   * @param from 0, or {@link RemotePage.next} of the part before.
   */
  list(handle: number, path: Uint8Array, from: bigint): Promise<RemotePage>;
  statFilesystem(): Promise<FileSystemFacts>;
  fallocate(handle: number, mode: number, offset: number, length: number): Promise<void>;
  /** @param whence SEEK_DATA or SEEK_HOLE. */
  seek(handle: number, offset: number, whence: number): Promise<number>;
  copyRange(from: RemoteRange, to: RemoteRange, length: number): Promise<number>;
  getXattr(path: Uint8Array, name: Uint8Array): Promise<Uint8Array>;
  setXattr(path: Uint8Array, name: Uint8Array, value: Uint8Array, flags: number): Promise<void>;
  /** Resolves with the names, each with a NUL. */
  listXattr(path: Uint8Array): Promise<Uint8Array>;
  removeXattr(path: Uint8Array, name: Uint8Array): Promise<void>;
}
