/** Watches what a path names: a directory, or one file, which may be replaced by another. */
import { closeSync, constants } from "node:fs";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { O_PATH, statDescriptor } from "../../ffi/directory-calls.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import {
  baseName,
  type BytesPath,
  descriptorPath,
  parentOf,
  showPath,
} from "../../files/bytes-path.ts";
import { openResolved } from "../../files/resolve-path.ts";
import type { WatchEvent } from "./file-change.ts";
import { TreeWatch, type TreeWatchOptions } from "./tree-watch.ts";

/** What is watched at a path, and how. */
export type PathWatchOptions = Pick<TreeWatchOptions, "isRecursive" | "isHidden">;

/** A path that is being watched. Disposing it ends the watch. */
export class PathWatch implements Disposable {
  readonly #watch: TreeWatch;
  readonly #isFile: boolean;

  private constructor(watch: TreeWatch, isFile: boolean) {
    this.#watch = watch;
    this.#isFile = isFile;
  }

  /**
   * Watches a path, links followed. Everything that changes after this has returned is reported. A file
   * is watched through its directory, so that its removal and its replacement are reported too.
   *
   * @throws {VsockboxError} as {@link TreeWatch.open}; IO with ENOENT if nothing is there.
   */
  static async open(path: BytesPath, options: PathWatchOptions): Promise<PathWatch> {
    try {
      const { real, isFile } = resolve(path);
      const watch = isFile
        ? await TreeWatch.open(parentOf(real), {
            isRecursive: false,
            only: baseName(real),
            shown: path,
          })
        : await TreeWatch.open(real, { ...options, shown: path });
      return new PathWatch(watch, isFile);
    } catch (thrown) {
      throw watchError(path, thrown);
    }
  }

  /** Number of watched directories. */
  get directories(): number {
    return this.#watch.directories;
  }

  /** Number of directories that may not be read. */
  get unreadable(): number {
    return this.#watch.unreadable;
  }

  /**
   * Returns the changes, with paths relative to the watched one: empty for that itself. To be called once.
   *
   * @throws {VsockboxError} as {@link TreeWatch.events}.
   */
  async *events(): AsyncGenerator<WatchEvent, void, undefined> {
    for await (const event of this.#watch.events()) {
      yield this.#isFile && event.kind !== "overflow" ? { ...event, path: Buffer.alloc(0) } : event;
    }
  }

  /** Ends the watch. */
  close(): void {
    this.#watch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function resolve(path: BytesPath): { real: BytesPath; isFile: boolean } {
  const fd = openResolved(path, O_PATH);
  try {
    const isFile = (statDescriptor(fd).mode & constants.S_IFMT) !== constants.S_IFDIR;
    return { real: realPathOf(descriptorPath(fd) ?? path), isFile };
  } finally {
    closeSync(fd);
  }
}

function watchError(path: BytesPath, thrown: unknown): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  return new VsockboxError({
    code: errno === undefined ? "SOFTWARE" : "IO",
    operation: "watch",
    address: showPath(path),
    message,
    errno,
    cause: thrown,
  });
}
