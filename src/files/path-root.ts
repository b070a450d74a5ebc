/** Opens paths of a peer, optionally all of them below one directory. */
import { closeSync, constants, openSync, readlinkSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { realPathOf } from "../ffi/real-path.ts";
import { type BytesPath, bytesPath, descriptorPath, joinPath, showPath } from "./bytes-path.ts";
import { assertDirectory } from "./local-directory.ts";

/** open(2): only to name the file, not to read it. x86-64 and arm64. */
const O_PATH = 0o10000000;

const SLASH = 0x2f;

/** An open file or directory, closed when disposed. */
export interface OpenedPath extends Disposable {
  readonly fd: number;
  /**
   * For file calls. Below a root it is by descriptor, so that it stays the same whatever is put into
   * its place.
   */
  readonly path: BytesPath;
}

/** The root of a peer's paths. */
export class PathRoot {
  /** Without links; undefined: the whole file system. */
  readonly #root: BytesPath | undefined;

  /**
   * @param root a directory; undefined: no limit.
   * @throws {VsockboxError} IO if it is not a directory, CONFIG if /proc is missing.
   */
  constructor(root?: string) {
    this.#root = root === undefined ? undefined : realDirectory(root);
  }

  /**
   * Opens a directory, links followed.
   *
   * @throws {VsockboxError} REFUSED if it is outside; IO.
   */
  openDirectory(path: Uint8Array): OpenedPath {
    return this.#open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /**
   * Opens a path without reading it (O_PATH), links followed: its type can be checked before it is read.
   *
   * @throws {VsockboxError} as {@link openDirectory}.
   */
  open(path: Uint8Array): OpenedPath {
    return this.#open(path, O_PATH);
  }

  #open(path: Uint8Array, flags: number): OpenedPath {
    const root = this.#root;
    const wanted = root === undefined || path[0] === SLASH ? bytesPath(path) : joinPath(root, path);
    let fd: number;
    try {
      fd = openSync(wanted, flags);
    } catch (thrown) {
      const { errno, message } = reasonOf(thrown);
      throw new VsockboxError({
        code: "IO",
        operation: "open",
        address: showPath(path),
        message,
        errno,
        cause: thrown,
      });
    }
    const byDescriptor = descriptorPath(fd);
    if (root !== undefined && !isBelow(root, byDescriptor)) {
      closeSync(fd);
      throw new VsockboxError({
        code: "REFUSED",
        operation: "open",
        address: showPath(path),
        message: `it leads out of ${showPath(root)}, beyond which nothing is served`,
      });
    }
    const stable = root === undefined ? wanted : (byDescriptor ?? wanted);
    return { fd, path: stable, [Symbol.dispose]: () => closeSync(fd) };
  }
}

/** Checks the opened file, since its name may lead to another one by now. */
function isBelow(root: BytesPath, opened: BytesPath | undefined): boolean {
  if (opened === undefined) return false;
  const real = readlinkSync(opened, { encoding: "buffer" });
  if (root.equals(real)) return true;
  const inside = root.length === 1 ? root : Buffer.concat([root, Buffer.from("/")]);
  return real.subarray(0, inside.length).equals(inside);
}

function realDirectory(root: string): BytesPath {
  if (descriptorPath(0) === undefined) {
    throw new VsockboxError({
      ...{ code: "CONFIG", operation: "use root directory", address: root },
      message: "that needs /proc",
    });
  }
  assertDirectory(root);
  return bytesPath(realPathOf(Buffer.from(root)));
}
