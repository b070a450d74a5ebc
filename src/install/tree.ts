/**
 * A root file system in a directory. Links in it are followed as they would be with the directory as
 * the root, so none leads out of it.
 */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";
import { joinPath } from "../files/bytes-path.ts";
import { PathRoot } from "../files/path-root.ts";
import type { Found } from "./items.ts";
import { pieces } from "./pieces.ts";

/** As many links as the kernel follows in one path: include/linux/namei.h, MAXSYMLINKS. */
const MAX_LINKS = 40;

/** The directory that a file is in, open: it stays the same whatever is put into its place. */
export interface Directory extends Disposable {
  /** A name in it, for file calls. */
  file(name: string): string;
  /** Writes it to the disk. */
  sync(): void;
}

/** See above. */
export class Tree {
  /** The directory's absolute path; empty for `/`. */
  readonly root: string;
  readonly #root: PathRoot;

  /**
   * @param root a directory; `/` is the running system.
   * @throws {VsockboxError} CONFIG if it is not a directory.
   */
  constructor(root: string) {
    const absolute = resolve(root);
    this.root = absolute === "/" ? "" : absolute;
    this.#root = new PathRoot(this.root === "" ? undefined : this.root);
  }

  /** A path of the tree as people find it. */
  outside(path: string): string {
    return `${this.root}${path}` || "/";
  }

  /**
   * Resolves all links of a path, the last one too. Missing components stay unchanged.
   *
   * @throws {VsockboxError} CANNOT_CREATE if a component is not a directory, or links form a loop.
   */
  resolve(path: string): string {
    const left = path.split("/");
    let done: string[] = [];
    let links = 0;
    for (let part = left.shift(); part !== undefined; part = left.shift()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      const here = `/${[...done, part].join("/")}`;
      const status = lstatSync(this.outside(here), { throwIfNoEntry: false });
      if (status?.isSymbolicLink() === true) {
        if (++links > MAX_LINKS) throw this.#cannot(here, "too many links", "ELOOP");
        const target = this.#readLink(here);
        if (target.startsWith("/")) done = [];
        left.unshift(...target.split("/"));
        continue;
      }
      const isPassed = left.some((next) => next !== "" && next !== ".");
      if (status !== undefined && isPassed && !status.isDirectory()) {
        throw this.#cannot(here, "it is not a directory", "ENOTDIR");
      }
      done.push(part);
    }
    return `/${done.join("/")}`;
  }

  /**
   * The path with the links of its directory resolved, but not itself.
   *
   * @throws {VsockboxError} as {@link resolve} does, for the directory too.
   */
  canonical(path: string): string {
    const slash = path.lastIndexOf("/");
    const parent = this.resolve(path.slice(0, slash));
    const status = lstatSync(this.outside(parent), { throwIfNoEntry: false });
    if (status?.isDirectory() === false) {
      throw this.#cannot(parent, "it is not a directory", "ENOTDIR");
    }
    return `${parent === "/" ? "" : parent}${path.slice(slash)}`;
  }

  /** Whether the path, links followed, leads to something. */
  has(path: string): boolean {
    try {
      return lstatSync(this.outside(this.resolve(path)), { throwIfNoEntry: false }) !== undefined;
    } catch (thrown) {
      if (thrown instanceof VsockboxError) return false;
      throw thrown;
    }
  }

  /**
   * What stands at a {@link canonical} path.
   *
   * @throws {VsockboxError} IO if it cannot be read.
   */
  find(path: string): Found {
    const status = lstatSync(this.outside(path), { throwIfNoEntry: false });
    if (status === undefined) return { kind: "nothing" };
    if (status.isSymbolicLink()) return { kind: "link", target: this.#readLink(path) };
    if (status.isDirectory()) return { kind: "directory" };
    if (!status.isFile()) return { kind: "other" };
    return this.#withFile(path, (fd) => ({
      kind: "file",
      sha256: hashFile(fd),
      mode: fstatSync(fd).mode & 0o7777,
    }));
  }

  /**
   * The bytes of a small file, its {@link canonical} path; undefined if there is none.
   *
   * @throws {VsockboxError} IO if it is larger than `maxBytes` or cannot be read.
   */
  read(path: string, maxBytes: number): Buffer | undefined {
    return this.open(path, (fd) => {
      if (fstatSync(fd).size > maxBytes) {
        throw new VsockboxError({
          code: "IO",
          operation: "read",
          address: this.outside(path),
          message: `it is larger than ${maxBytes} bytes`,
        });
      }
      return readFileSync(fd);
    });
  }

  /** Returns the result of `use` on an open regular file, by its resolved path; undefined if there is none. */
  open<T>(path: string, use: (fd: number) => T): T | undefined {
    const status = lstatSync(this.outside(path), { throwIfNoEntry: false });
    return status?.isFile() === true ? this.#withFile(path, use) : undefined;
  }

  /** The directories above a {@link canonical} path that are not there, the upper ones first. */
  missingParents(path: string): string[] {
    const missing: string[] = [];
    for (let at = parentOf(path); at !== ""; at = parentOf(at)) {
      if (lstatSync(this.outside(at), { throwIfNoEntry: false }) !== undefined) break;
      missing.unshift(at);
    }
    return missing;
  }

  /**
   * Sees to it that files can be made and removed in the nearest directory above a {@link canonical}
   * path that there is.
   *
   * @throws {VsockboxError} CANNOT_CREATE if it is read-only or of another user.
   */
  checkWritable(path: string): void {
    const [missing] = this.missingParents(path);
    const parent = this.outside(parentOf(missing ?? path));
    try {
      accessSync(parent, constants.W_OK | constants.X_OK);
    } catch (thrown) {
      throw new VsockboxError({
        code: "CANNOT_CREATE",
        operation: "write to",
        address: parent,
        ...reasonOf(thrown),
        cause: thrown,
      });
    }
  }

  /**
   * Opens the directory of a {@link canonical} path.
   *
   * @throws {VsockboxError} REFUSED if it is no longer in the tree; IO.
   */
  directory(path: string): Directory {
    const opened = this.#root.openDirectory(Buffer.from(this.outside(parentOf(path))));
    return {
      file: (name) => joinPath(opened.path, Buffer.from(name)).toString(),
      sync: () => fsyncSync(opened.fd),
      [Symbol.dispose]: () => opened[Symbol.dispose](),
    };
  }

  #readLink(path: string): string {
    const bytes = readlinkSync(this.outside(path), { encoding: "buffer" });
    const target = bytes.toString();
    if (!Buffer.from(target).equals(bytes)) {
      throw this.#cannot(path, "the link's target is not UTF-8", undefined);
    }
    return target;
  }

  /** Opened once, and without blocking should it have become a FIFO. */
  #withFile<T>(path: string, use: (fd: number) => T): T {
    using directory = this.directory(path);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    try {
      const fd = openSync(directory.file(baseOf(path)), flags);
      try {
        return use(fd);
      } finally {
        closeSync(fd);
      }
    } catch (thrown) {
      if (thrown instanceof VsockboxError) throw thrown;
      throw new VsockboxError({
        code: "IO",
        operation: "read",
        address: this.outside(path),
        ...reasonOf(thrown),
        cause: thrown,
      });
    }
  }

  #cannot(path: string, message: string, errno: string | undefined): VsockboxError {
    return new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "follow",
      address: this.outside(path),
      message,
      errno,
    });
  }
}

/** The last part of a path. */
export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The path without its last part; empty for an entry of the root. */
function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function hashFile(fd: number): string {
  const hash = createHash("sha256");
  for (const piece of pieces(fd)) hash.update(piece);
  return hash.digest("hex");
}
