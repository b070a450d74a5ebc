/** Copies a file or tree locally, with all attributes that the target's file system supports. */
import { chmodSync, closeSync, constants, ftruncateSync, read, write } from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../errors.ts";
import {
  copyAttributes,
  type InodeStatus,
  O_PATH,
  statDescriptor,
} from "../ffi/directory-calls.ts";
import { nextData, nextHole } from "../ffi/sparse.ts";
import { type BytesPath, descriptorPath, showPath } from "./bytes-path.ts";
import { type DirectoryHandle, isMountPoint } from "./directory-handle.ts";
import { DirectoryStack } from "./directory-stack.ts";
import { fileKind } from "./facts.ts";
import { copyOwnership, grantedMode } from "./file-owner.ts";

const readAsync = promisify(read);
const writeAsync = promisify(write);

const BLOCK_BYTES = 1024 * 1024;
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;
const CREATE_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
const HERE = Buffer.from(".");

/** A name in an open directory. */
export interface NamedEntry {
  directory: DirectoryHandle;
  name: Uint8Array;
}

/** The copy of a directory. */
interface Cursor {
  names: readonly Uint8Array[];
  next: number;
  status: InodeStatus;
}

/** One copy, which keeps hard links within it. */
export class TreeCopy {
  readonly #pause: () => Promise<void>;
  /** Copies of files with several names: their path below the copy's root, by the original's identity. */
  readonly #copies = new Map<string, BytesPath>();
  readonly #block = new Uint8Array(BLOCK_BYTES);

  /** @param pause called for each entry; it lets other work run, and ends the copy by throwing. */
  constructor(pause: () => Promise<void>) {
    this.#pause = pause;
  }

  /**
   * Copies an entry to a name that does not exist yet.
   *
   * @param shown the original's path, for messages.
   * @throws what ended the copy; a part of it may be there then.
   */
  async copy(from: NamedEntry, to: NamedEntry, status: InodeStatus, shown: BytesPath) {
    if (fileKind(status) !== "directory") return this.#copyFile(from, to, status, undefined);
    const source = from.directory.openDirectory(from.name);
    const cursor = cursorOf(source);
    using sources = new DirectoryStack(source, shown, cursor);
    to.directory.makeDirectory(to.name, 0o700);
    using targets = new DirectoryStack(to.directory.openDirectory(to.name), HERE, undefined);
    for (;;) {
      await this.#pause();
      const { state } = sources;
      const name = state.names[state.next++];
      if (name !== undefined) await this.#copyEntry(sources, targets, name);
      else if (sources.depth === 0) break;
      else leave(sources, targets);
    }
    finishDirectory(sources.top, targets.top, cursor.status);
    to.directory.setTimes(to.name, cursor.status);
  }

  async #copyEntry(
    sources: DirectoryStack<Cursor>,
    targets: DirectoryStack<undefined>,
    name: Uint8Array,
  ): Promise<void> {
    const from = { directory: sources.top, name };
    const to = { directory: targets.top, name };
    const status = from.directory.find(name);
    if (status === undefined) return;
    try {
      if (fileKind(status) !== "directory") {
        return await this.#copyFile(from, to, status, targets);
      }
      if (isMountPoint({ status, parent: from.directory.status() })) throw mounted();
      to.directory.makeDirectory(name, 0o700);
      const source = from.directory.openDirectory(name);
      sources.enter(source, name, cursorOf(source));
      targets.enter(to.directory.openDirectory(name), name, undefined);
    } catch (thrown) {
      throw named(sources.shown(name), thrown);
    }
  }

  /** Copies an entry that is not a directory. */
  async #copyFile(
    from: NamedEntry,
    to: NamedEntry,
    status: InodeStatus,
    targets: DirectoryStack<undefined> | undefined,
  ): Promise<void> {
    const key = `${status.device}:${status.inode}`;
    const isShared = status.links > 1 && targets !== undefined;
    const earlier = isShared ? this.#copies.get(key) : undefined;
    if (earlier !== undefined && linkEarlier(targets, earlier, to)) return;
    const kind = fileKind(status);
    if (kind === "file") await this.#copyContent(from, to);
    else if (kind === "link") to.directory.makeLink(from.directory.readLink(from.name), to.name);
    else to.directory.makeNode(to.name, status, 0o600);
    if (kind !== "file") finishNode(to, status, kind === "link");
    to.directory.setTimes(to.name, status);
    if (isShared) this.#copies.set(key, targets.shown(to.name));
  }

  async #copyContent(from: NamedEntry, to: NamedEntry): Promise<void> {
    const source = from.directory.openFile(from.name, READ_FLAGS);
    try {
      const status = statDescriptor(source);
      if (fileKind(status) !== "file") throw replaced();
      const target = to.directory.openFile(to.name, CREATE_FLAGS, 0o600);
      try {
        await this.#copyBytes(source, target, status.size);
        copyOwnership(target, status, statDescriptor(target));
        copyAttributes(source, target);
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(source);
    }
  }

  /** Copies the data; holes stay holes. */
  async #copyBytes(source: number, target: number, size: number): Promise<void> {
    for (let offset = 0; offset < size;) {
      const data = nextData(source, offset);
      if (data === undefined || data >= size) break;
      const end = Math.min(nextHole(source, data) ?? size, size);
      for (offset = data; offset < end;) {
        const wanted = Math.min(BLOCK_BYTES, end - offset);
        const { bytesRead } = await readAsync(source, this.#block, 0, wanted, offset);
        if (bytesRead === 0) throw replaced();
        for (let done = 0; done < bytesRead;) {
          const { bytesWritten } = await writeAsync(
            target,
            this.#block,
            done,
            bytesRead - done,
            offset + done,
          );
          done += bytesWritten;
        }
        offset += bytesRead;
        await this.#pause();
      }
    }
    ftruncateSync(target, size);
  }
}

function cursorOf(directory: DirectoryHandle): Cursor {
  const names = directory.entries().map(({ name }) => name);
  return { names, next: 0, status: directory.status() };
}

function leave(sources: DirectoryStack<Cursor>, targets: DirectoryStack<undefined>): void {
  const { name, state } = sources;
  finishDirectory(sources.top, targets.top, state.status, () => {
    sources.leave();
    targets.leave((handle) => finishOwner(handle, state.status));
  });
  targets.top.setTimes(name, state.status);
}

/** The mode comes last, as it may forbid the way up. */
function finishDirectory(
  source: DirectoryHandle,
  target: DirectoryHandle,
  status: InodeStatus,
  finish: () => void = () => finishOwner(target, status),
): void {
  copyAttributes(source.fd, target.fd);
  finish();
}

function finishOwner({ fd }: DirectoryHandle, status: InodeStatus): void {
  copyOwnership(fd, status, statDescriptor(fd));
}

/** Owner and mode of a link, FIFO, socket or device, which cannot be opened for that. */
function finishNode({ directory, name }: NamedEntry, status: InodeStatus, isLink: boolean): void {
  try {
    directory.changeOwner(name, status.uid, status.gid);
  } catch (thrown) {
    if (!isNotOurs(thrown)) throw thrown;
  }
  if (isLink) return;
  const fd = directory.openFile(name, O_PATH);
  try {
    const path = descriptorPath(fd);
    const mode = grantedMode(status, statDescriptor(fd), true);
    if (path !== undefined) chmodSync(path, mode);
  } finally {
    closeSync(fd);
  }
}

function isNotOurs(thrown: unknown): boolean {
  const { errno } = reasonOf(thrown);
  return errno === "EPERM" || errno === "EINVAL";
}

/** Links to an earlier copy of the same file; false if that cannot be done. */
function linkEarlier(
  targets: DirectoryStack<undefined> | undefined,
  earlier: BytesPath,
  to: NamedEntry,
): boolean {
  try {
    // No other user can enter the copy's root before it is complete, so the path is unchanged.
    targets?.root.linkTo(earlier, to.directory, to.name);
    return targets !== undefined;
  } catch {
    return false;
  }
}

function mounted(): Error {
  return Object.assign(new Error("EBUSY: a file system is mounted there, open"), { code: "EBUSY" });
}

function replaced(): Error {
  return Object.assign(new Error("EIO: it changed while it was copied, read"), { code: "EIO" });
}

/** The error of one entry, with its path. */
function named(path: BytesPath, thrown: unknown): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  const code = errno === undefined ? "SOFTWARE" : "IO";
  const address = showPath(path);
  return new VsockboxError({ code, operation: "copy", address, message, errno, cause: thrown });
}
