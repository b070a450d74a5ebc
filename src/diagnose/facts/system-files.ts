/**
 * The files of a system, read below a root directory: tests pass a directory that they have made. Nothing
 * is opened but regular files and those of /proc and /sys; devices are examined by stat(2) and access(2).
 */
import {
  accessSync,
  constants,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
  statSync,
} from "node:fs";
import { reasonOf } from "../../errors.ts";

/** Reads files below a root. */
export class SystemFiles {
  /** A directory, without a slash at the end; empty for the running system. */
  readonly root: string;

  constructor(root = "") {
    this.root = root;
  }

  /** Whether this is the running system, which may be asked by system calls as well. */
  get isRunning(): boolean {
    return this.root === "";
  }

  /** Returns a file's bytes; undefined if it cannot be read. */
  bytes(path: string): Uint8Array<ArrayBuffer> | undefined {
    return attempt(() => new Uint8Array(readFileSync(this.root + path)));
  }

  /** Returns a file's text; undefined if it cannot be read. */
  text(path: string): string | undefined {
    return attempt(() => readFileSync(this.root + path, "utf8"));
  }

  /** Returns the names in a directory; none if it cannot be read. */
  names(path: string): string[] {
    return attempt(() => readdirSync(this.root + path)) ?? [];
  }

  /** Returns the target of a symbolic link; undefined if it cannot be read. */
  link(path: string): string | undefined {
    return attempt(() => readlinkSync(this.root + path));
  }

  /** Returns the status of what a path leads to; undefined if that cannot be examined. */
  status(path: string): Stats | undefined {
    return attempt(() => statSync(this.root + path));
  }

  /** Returns the status of the path itself, or the errno's name of the failure. */
  statusOrErrno(path: string): Stats | string {
    try {
      return lstatSync(this.root + path);
    } catch (thrown) {
      return reasonOf(thrown).errno ?? "EIO";
    }
  }

  /** Whether this process may open a path for reading and writing. */
  isAccessible(path: string, isWritten: boolean): boolean {
    const mode = isWritten ? constants.R_OK | constants.W_OK : constants.R_OK;
    return attempt(() => (accessSync(this.root + path, mode), true)) ?? false;
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
