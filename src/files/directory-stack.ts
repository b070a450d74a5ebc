/**
 * The directories from a root down to the position of a walk. However deep that is, only the innermost ones
 * are open: a directory further up is opened again as `..` of the one below it, and compared with
 * what it was, since a directory that was moved meanwhile has another parent. The names are kept
 * level by level, so that no path has to fit into PATH_MAX.
 */
import { VsockboxError } from "../errors.ts";
import { type BytesPath, bytesPath, joinPath, showPath } from "./bytes-path.ts";
import { DirectoryHandle, type Identity, isSameFile } from "./directory-handle.ts";

/** Descriptors that one walk keeps open, beside that of its root. */
export const MAX_OPEN_DIRECTORIES = 16;

/** A directory of the stack. */
export interface Level<T> {
  readonly name: Uint8Array;
  readonly identity: Identity;
  /** What the walk keeps of it. */
  readonly state: T;
  /** Undefined while it is closed. */
  handle: DirectoryHandle | undefined;
}

/** The directories that a walk is in. Disposing it closes all of them but a borrowed root. */
export class DirectoryStack<T> implements Disposable {
  readonly #levels: Level<T>[];
  readonly #shown: BytesPath;

  /**
   * @param root closed with the stack.
   * @param shown the root's path, for messages.
   */
  constructor(root: DirectoryHandle, shown: BytesPath, state: T) {
    this.#shown = shown;
    this.#levels = [{ name: shown, identity: root.status(), state, handle: root }];
  }

  /** How many directories are below the root. */
  get depth(): number {
    return this.#levels.length - 1;
  }

  /** The directory at the bottom, which is always open. */
  get root(): DirectoryHandle {
    const handle = this.#levels[0]?.handle;
    if (handle === undefined) throw new Error("the root is not open");
    return handle;
  }

  /** The innermost directory. */
  get top(): DirectoryHandle {
    const { handle } = this.#innermost;
    if (handle === undefined) throw new Error("the innermost directory is not open");
    return handle;
  }

  /** What the walk keeps of the innermost directory. */
  get state(): T {
    return this.#innermost.state;
  }

  /** The name of the innermost directory; of the root, its path. */
  get name(): Uint8Array {
    return this.#innermost.name;
  }

  /** The path of an entry of the innermost directory, from the root on. */
  relative(name: Uint8Array): BytesPath {
    const names = [...this.#levels.slice(1).map((level) => level.name), name];
    return bytesPath(Buffer.concat(names.flatMap((one) => [SLASH, one])).subarray(1));
  }

  /** The path of the innermost directory, or of an entry in it, for messages. */
  shown(name?: Uint8Array): BytesPath {
    const names = this.#levels.slice(1).map((level) => level.name);
    if (name !== undefined) names.push(name);
    if (names.length === 0) return this.#shown;
    return joinPath(
      this.#shown,
      Buffer.from(Buffer.concat(names.flatMap((n) => [n, SLASH]))).subarray(0, -1),
    );
  }

  /** Goes into a directory that is in the innermost one, and closes the outermost of too many. */
  enter(handle: DirectoryHandle, name: Uint8Array, state: T): void {
    this.#levels.push({ name, identity: handle.status(), state, handle });
    const tooMany = this.#levels.at(-1 - MAX_OPEN_DIRECTORIES);
    if (tooMany === undefined || tooMany === this.#levels[0]) return;
    tooMany.handle?.close();
    tooMany.handle = undefined;
  }

  /**
   * Goes back to the directory above. `finish` is called while the one that is left is still open.
   *
   * @throws {VsockboxError} IO if the directory above is not the one that it was: the walk is then in
   * the innermost directory above that is still open, and {@link depth} has that level.
   */
  leave(finish?: (handle: DirectoryHandle, level: Level<T>) => void): void {
    const left = this.#innermost;
    if (this.#levels.length === 1) throw new Error("the root is not left");
    let problem: unknown;
    try {
      this.#reopenAbove(left);
    } catch (thrown) {
      problem = thrown;
    }
    try {
      if (left.handle !== undefined) finish?.(left.handle, left);
    } finally {
      left.handle?.close();
      this.#levels.pop();
      if (problem !== undefined) {
        while (this.#innermost.handle === undefined) this.#levels.pop();
      }
    }
    if (problem !== undefined) throw problem;
  }

  #reopenAbove(left: Level<T>): void {
    const above = this.#levels.at(-2);
    if (above === undefined || above.handle !== undefined) return;
    const handle = left.handle?.openParent();
    if (handle !== undefined && isSameFile(handle.status(), above.identity)) {
      above.handle = handle;
      return;
    }
    handle?.close();
    throw new VsockboxError({
      code: "IO",
      operation: "walk",
      address: showPath(this.shown()),
      message: "the directory was moved meanwhile",
    });
  }

  get #innermost(): Level<T> {
    const level = this.#levels.at(-1);
    if (level === undefined) throw new Error("the stack is empty");
    return level;
  }

  [Symbol.dispose](): void {
    for (const { handle } of this.#levels) handle?.close();
    this.#levels.length = 0;
  }
}

const SLASH = Buffer.from("/");
