/**
 * A file that is being written and has no name yet. If the file system has O_TMPFILE, nothing of
 * it stays if the process is killed; elsewhere it has a random name until then. A file for `--resume`
 * has a name by which a later transfer finds it: see part-name.ts.
 */
import { closeSync, constants } from "node:fs";
import { randomBytes } from "node:crypto";
import { reasonOf } from "../errors.ts";
import { O_TMPFILE, statDescriptor } from "../ffi/directory-calls.ts";
import { tryLock } from "../ffi/file-lock.ts";
import { descriptorPath } from "./bytes-path.ts";
import { type DirectoryHandle, isSameFile } from "./directory-handle.ts";
import { formatPartName, isOwnPart, PART_MODE, partHash, parsePartName } from "./part-name.ts";

const { O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = constants;
const SELF = Buffer.from(".");
const RANDOM_BYTES = 8;

/** Directories on file systems without O_TMPFILE. */
const withoutUnnamed = new WeakSet<DirectoryHandle>();

/** A name that no other file has, for the time until a file gets its own. */
export function temporaryName(): Uint8Array {
  return Buffer.from(`.vsockbox-${randomBytes(RANDOM_BYTES).toString("hex")}.tmp`);
}

/** What is known of a {@link PendingFile}. */
interface PendingFacts {
  /** Undefined: it has none. */
  name?: Uint8Array | undefined;
  isPart?: boolean;
  hasMode?: boolean;
}

/** An unfinished file; its descriptor is open for reading and writing. */
export class PendingFile {
  readonly fd: number;
  readonly #directory: DirectoryHandle;
  #name: Uint8Array | undefined;
  /** Whether a later transfer can find it by its name. */
  readonly #isPart: boolean;
  /** Whether it has the mode that it was created for; else its owner's alone until it gets another one. */
  readonly hasMode: boolean;

  private constructor(
    directory: DirectoryHandle,
    fd: number,
    { name, isPart = false, hasMode = false }: PendingFacts = {},
  ) {
    this.#directory = directory;
    this.fd = fd;
    this.#name = name;
    this.#isPart = isPart;
    this.hasMode = hasMode;
  }

  /**
   * Makes an empty file.
   *
   * @param mode its final permission bits, of which the umask clears some. They are used, as
   * {@link hasMode} reports, if no other process can open the file before it is complete.
   */
  static create(directory: DirectoryHandle, mode?: number): PendingFile {
    const unnamed = createUnnamed(directory, mode ?? PART_MODE);
    if (unnamed !== undefined) {
      return new PendingFile(directory, unnamed, { hasMode: mode !== undefined });
    }
    const name = temporaryName();
    const fd = directory.openFile(name, O_RDWR | O_CREAT | O_EXCL, PART_MODE);
    return new PendingFile(directory, fd, { name });
  }

  /** Makes an empty file that a later transfer of the same name finds. */
  static createPart(directory: DirectoryHandle, target: Uint8Array): PendingFile {
    const file = PendingFile.create(directory);
    try {
      const status = statDescriptor(file.fd);
      const part = { hash: partHash(target), inode: status.inode };
      const isFindable =
        isOwnPart({ ...status, links: 1 }, part, process.geteuid?.() ?? 0) && lock(file.fd);
      // File systems without modes or owners cannot show whose a file is.
      if (!isFindable) return file;
      const name = formatPartName(part);
      file.#giveName(name, false, false);
      return new PendingFile(directory, file.fd, { name, isPart: true });
    } catch (thrown) {
      // A file of the user's may have just that name.
      if (reasonOf(thrown).errno === "EEXIST") return file;
      file.discard();
      throw thrown;
    }
  }

  /** Opens one that an earlier transfer left; undefined if it is not ours, or in use. */
  static openPart(directory: DirectoryHandle, name: Uint8Array): PendingFile | undefined {
    const part = parsePartName(name);
    if (part === undefined) return undefined;
    let fd: number;
    try {
      fd = directory.openFile(name, O_RDWR | O_NONBLOCK);
    } catch {
      return undefined;
    }
    const isOwn = isOwnPart(statDescriptor(fd), part, process.geteuid?.() ?? 0);
    if (isOwn && lock(fd)) return new PendingFile(directory, fd, { name, isPart: true });
    closeSync(fd);
    return undefined;
  }

  /**
   * Links the file to its name. With `replace` it replaces a file of that name, else it fails with EEXIST.
   * The descriptor stays open.
   *
   * @param isTaken whether a file of that name was there: saves the attempt to do without a second name.
   */
  giveName(name: Uint8Array, replace: boolean, isTaken = false): void {
    this.#giveName(name, replace, isTaken);
    this.#name = undefined;
  }

  #giveName(name: Uint8Array, replace: boolean, isTaken: boolean): void {
    if (this.#name === undefined) {
      if (!(replace && isTaken) && this.#linkAs(name, replace)) return;
      const temporary = temporaryName();
      this.#directory.linkDescriptor(this.fd, temporary);
      this.#name = temporary;
    }
    if (replace) this.#directory.rename(this.#name, this.#directory, name);
    else this.#directory.renameNew(this.#name, this.#directory, name);
  }

  /** Returns false if the name is taken and may be replaced. */
  #linkAs(name: Uint8Array, replace: boolean): boolean {
    try {
      this.#directory.linkDescriptor(this.fd, name);
      return true;
    } catch (thrown) {
      if (!replace || reasonOf(thrown).errno !== "EEXIST") throw thrown;
      return false;
    }
  }

  /** Closes the file, and removes it unless a later transfer can continue it and `keep` is set. */
  discard(keep = false): void {
    try {
      if (this.#name === undefined || (keep && this.#isPart)) return;
      const there = this.#directory.find(this.#name);
      if (there !== undefined && isSameFile(there, statDescriptor(this.fd))) {
        this.#directory.unlink(this.#name);
      }
    } finally {
      closeSync(this.fd);
    }
  }

  /** Closes the file that has its name. */
  close(): void {
    closeSync(this.fd);
  }
}

/** Unfinished files in one directory, which is listed once. */
export class PartFiles {
  #names: ReadonlyMap<string, Uint8Array[]> | undefined;

  /** Opens what an earlier transfer of this name left; undefined if there is nothing of ours. */
  open(directory: DirectoryHandle, target: Uint8Array): PendingFile | undefined {
    for (const name of this.#of(directory, target)) {
      const file = PendingFile.openPart(directory, name);
      if (file !== undefined) return file;
    }
    return undefined;
  }

  /** Removes what earlier transfers of this name left. */
  removeAll(directory: DirectoryHandle, target: Uint8Array): void {
    for (const name of this.#of(directory, target)) {
      PendingFile.openPart(directory, name)?.discard();
    }
  }

  #of(directory: DirectoryHandle, target: Uint8Array): readonly Uint8Array[] {
    this.#names ??= this.#list(directory);
    return this.#names.get(partHash(target)) ?? [];
  }

  #list(directory: DirectoryHandle): Map<string, Uint8Array[]> {
    const found = new Map<string, Uint8Array[]>();
    using listed = directory.reopen();
    for (const { name } of listed.entries()) {
      const part = parsePartName(name);
      if (part === undefined) continue;
      found.set(part.hash, [...(found.get(part.hash) ?? []), name]);
    }
    return found;
  }
}

/** errno of open(2) if the file system, or the kernel, has no O_TMPFILE. */
const NO_TMPFILE = new Set(["EOPNOTSUPP", "EISDIR", "EINVAL", "ENOENT"]);

function createUnnamed(directory: DirectoryHandle, mode: number): number | undefined {
  // Without /proc it could not get a name later.
  if (withoutUnnamed.has(directory) || descriptorPath(0) === undefined) return undefined;
  try {
    return directory.openFile(SELF, O_TMPFILE | O_RDWR, mode);
  } catch (thrown) {
    if (!NO_TMPFILE.has(reasonOf(thrown).errno ?? "")) throw thrown;
    withoutUnnamed.add(directory);
    return undefined;
  }
}

/** Another transfer that continues the same file holds its lock. */
function lock(fd: number): boolean {
  try {
    return tryLock(fd);
  } catch {
    // The file system has no locks.
    return true;
  }
}
