/**
 * Changes of a tree that all happen or none. New files are written under names of their own and
 * renamed when all of them are on the disk, so that nothing partial ever stands under its final name,
 * and a program that runs from an old file goes on.
 */
import { type Operation } from "../operations.ts";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { baseOf, type Directory, type Tree } from "./tree.ts";

/** A file to be written. */
export interface NewFile {
  path: string;
  mode: number;
  /** Undefined: this process's. */
  owner?: { uid: number; gid: number } | undefined;
  pieces: Iterable<Uint8Array>;
}

/** A disk that is full is an I/O error; everything else is that the file cannot be made. */
const IO_ERRORS = new Set<string | undefined>(["ENOSPC", "EDQUOT", "EIO", "EFBIG"]);

/** Returns a unique name beside `name`: `id` is the run's, 12 hexadecimal digits. */
function besideName(name: string, id: string, suffix: "tmp" | "old"): string {
  return `.${name.slice(0, 200)}.${id}.${suffix}`;
}

/** Removes what a run that was killed has left beside a path. */
export function removeLeftovers(tree: Tree, path: string, id: string): void {
  if (tree.missingParents(path).length > 0) return;
  using directory = tree.directory(path);
  for (const suffix of ["tmp", "old"] as const) {
    removeIfThere(directory.file(besideName(baseOf(path), id, suffix)));
  }
}

/** See above. Paths are canonical. Not to be used again after {@link undo} or {@link finish}. */
export class Transaction implements Disposable {
  readonly #tree: Tree;
  readonly #id: string;
  readonly #signal: AbortSignal | undefined;
  readonly #directories = new Map<string, Directory>();
  readonly #undo: (() => void)[] = [];
  readonly #staged = new Set<string>();
  readonly #backups = new Set<string>();

  constructor(tree: Tree, id: string, signal?: AbortSignal) {
    this.#tree = tree;
    this.#id = id;
    this.#signal = signal;
  }

  /** Makes a directory with 0755 whatever the umask. */
  makeDirectory(path: string): void {
    this.#try("create directory", path, () => {
      const made = this.#at(path);
      mkdirSync(made, 0o755);
      this.#undo.push(() => rmdirSync(made));
      chmodSync(made, 0o755);
    });
  }

  /**
   * Writes a file beside its final name.
   *
   * @throws {VsockboxError} ABORTED; CANNOT_CREATE; IO if the disk is full.
   */
  async stage({ path, mode, owner, pieces }: NewFile): Promise<void> {
    const temporary = this.#beside(path, "tmp");
    const fd = this.#try("write", path, () => {
      const opened = openSync(temporary, "wx", 0o600);
      this.#undo.push(() => removeIfThere(temporary));
      return opened;
    });
    try {
      for (const piece of pieces) {
        this.#try("write", path, () => writeAll(fd, piece));
        // Signals are heard between two pieces.
        await Bun.sleep(0);
        if (this.#signal?.aborted === true) throw this.#aborted();
      }
      this.#try("write", path, () => {
        if (owner !== undefined) tryChown(fd, owner);
        fchmodSync(fd, mode);
        fsyncSync(fd);
      });
    } finally {
      closeSync(fd);
    }
    this.#staged.add(path);
  }

  /** Makes a link beside its final name. */
  stageLink(path: string, target: string): void {
    this.#try("create link", path, () => {
      const temporary = this.#beside(path, "tmp");
      symlinkSync(target, temporary);
      this.#undo.push(() => removeIfThere(temporary));
    });
    this.#staged.add(path);
  }

  /** Moves the staged file of a path there, in place of the old one. */
  commit(path: string): void {
    if (!this.#staged.delete(path)) throw new Error(`nothing is staged for ${path}`);
    this.#try("write", path, () => {
      const final = this.#at(path);
      const backup = this.#beside(path, "old");
      const there = lstatSync(final, { throwIfNoEntry: false });
      // The plan has refused it; it was made since.
      if (there?.isDirectory() === true) throw new DirectoryInTheWay();
      if (there === undefined) {
        renameSync(this.#beside(path, "tmp"), final);
        this.#undo.push(() => unlinkSync(final));
        return;
      }
      if (!this.#backups.has(path)) {
        keepCopy(final, backup);
        this.#backups.add(path);
        this.#undo.push(() => {
          renameSync(backup, final);
          // rename(2) does nothing if both are names of one file.
          removeIfThere(backup);
        });
      }
      renameSync(this.#beside(path, "tmp"), final);
    });
  }

  /** Removes a file or link. */
  remove(path: string): void {
    this.#try("remove", path, () => {
      const [final, backup] = [this.#at(path), this.#beside(path, "old")];
      renameSync(final, backup);
      this.#backups.add(path);
      this.#undo.push(() => renameSync(backup, final));
    });
  }

  /** It is done: nothing can be undone from here on. */
  finish(): void {
    // A failed sync or removal is not a reason to undo the installation.
    for (const directory of this.#directories.values()) attempt(() => directory.sync());
    for (const path of this.#backups) attempt(() => removeIfThere(this.#beside(path, "old")));
    this.#undo.length = 0;
  }

  /** Everything as it was. Returns what could not be undone. */
  undo(): unknown[] {
    const failures: unknown[] = [];
    for (let step = this.#undo.pop(); step !== undefined; step = this.#undo.pop()) {
      const failure = attempt(step);
      if (failure !== undefined) failures.push(failure);
    }
    return failures;
  }

  [Symbol.dispose](): void {
    for (const directory of this.#directories.values()) directory[Symbol.dispose]();
    this.#directories.clear();
  }

  #at(path: string): string {
    return this.#directory(path).file(baseOf(path));
  }

  #beside(path: string, suffix: "tmp" | "old"): string {
    return this.#directory(path).file(besideName(baseOf(path), this.#id, suffix));
  }

  #directory(path: string): Directory {
    const parent = path.slice(0, path.lastIndexOf("/"));
    const directory = this.#directories.get(parent) ?? this.#tree.directory(path);
    this.#directories.set(parent, directory);
    return directory;
  }

  #try<T>(operation: Operation, path: string, work: () => T): T {
    try {
      return work();
    } catch (thrown) {
      if (thrown instanceof VsockboxError) throw thrown;
      const reason = reasonOf(thrown);
      throw new VsockboxError({
        code: IO_ERRORS.has(reason.errno) ? "IO" : "CANNOT_CREATE",
        operation,
        address: this.#tree.outside(path),
        ...reason,
        cause: thrown,
      });
    }
  }

  #aborted(): VsockboxError {
    return new VsockboxError({
      code: "ABORTED",
      operation: "install",
      message: "it was interrupted; nothing was changed",
    });
  }
}

class DirectoryInTheWay extends Error {
  readonly code = "EISDIR";
  override readonly message = "EISDIR: a directory is in its place";
}

function attempt(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (thrown) {
    if (reasonOf(thrown).errno !== "ENOENT") throw thrown;
  }
}

/** A second name for a file or link; on file systems without those it is moved there. */
function keepCopy(path: string, copy: string): void {
  try {
    linkSync(path, copy);
  } catch (thrown) {
    if (reasonOf(thrown).errno === "ENOSPC") throw thrown;
    renameSync(path, copy);
  }
}

/** An ordinary user cannot change owners: the file is then that user's. */
function tryChown(fd: number, { uid, gid }: { uid: number; gid: number }): void {
  attempt(() => fchownSync(fd, uid, gid));
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(writeSync(fd, rest));
}
