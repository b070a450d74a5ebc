/** Notifications of changes in directories: inotify(7). */
import { FFIType } from "bun:ffi";
import { errnoName } from "../system-errors.ts";
import { systemError } from "./errno.ts";
import { cString, lastErrno, libc, openLibc, ptr } from "./libc.ts";
import { closeDescriptor } from "./socket.ts";

/** Events and flags, sys/inotify.h. */
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
/** The file system was unmounted. */
export const IN_UNMOUNT = 0x2000;
/** The kernel has dropped events. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch was removed; it has no further events. */
export const IN_IGNORED = 0x8000;
/** The event is about a directory. */
export const IN_ISDIR = 0x4000_0000;
const IN_ONLYDIR = 0x100_0000;
/** No events of files in the directory that have no name any more. */
const IN_EXCL_UNLINK = 0x400_0000;

const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;

/** Everything that changes a directory or an entry of it. */
const MASK =
  IN_MODIFY |
  IN_ATTRIB |
  IN_MOVED_FROM |
  IN_MOVED_TO |
  IN_CREATE |
  IN_DELETE |
  IN_DELETE_SELF |
  IN_MOVE_SELF |
  IN_ONLYDIR |
  IN_EXCL_UNLINK;

const { i32, u32, pointer } = FFIType;

/** In a table of their own, since few commands need them. */
const SYMBOLS = {
  inotify_init1: { args: [i32], returns: i32 },
  inotify_add_watch: { args: [i32, pointer, u32], returns: i32 },
  inotify_rm_watch: { args: [i32, i32], returns: i32 },
} as const;

let opened: ReturnType<typeof openLibc<typeof SYMBOLS>> | undefined;

function calls() {
  opened ??= openLibc(SYMBOLS);
  return opened;
}

/** Bytes of one read: about 2000 events with short names, and more than one with the longest. */
const BUFFER_BYTES = 64 * 1024;

/** A queue of events of any number of directories. */
export class Inotify {
  /** Readable while there are events. */
  readonly fd: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);

  /** @throws {VsockboxError} IO with EMFILE if this user has too many of them. */
  constructor() {
    this.fd = calls().inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (this.fd >= 0) return;
    const errno = lastErrno();
    throw systemError(errno, {
      operation: "open inotify",
      ...(errnoName(errno) === "EMFILE" && {
        hint: "the kernel limits this user to fs.inotify.max_user_instances; raise it with sysctl",
      }),
    });
  }

  /**
   * Watches a directory.
   *
   * @param path of the directory; a link is followed.
   * @param shown its path in the error.
   * @returns the number that its events have: the same as before if it is watched already.
   * @throws {VsockboxError} with the errno: ENOSPC if this user has too many watches.
   */
  watch(path: Uint8Array, shown: string): number {
    const terminated = cString(path);
    const watch = calls().inotify_add_watch(this.fd, ptr(terminated), MASK);
    if (watch >= 0) return watch;
    const errno = lastErrno();
    throw systemError(errno, {
      operation: "watch",
      address: shown,
      ...(errnoName(errno) === "ENOSPC" && {
        reason: "this user has as many watches as the kernel allows",
        hint: "raise the limit, as in `sysctl fs.inotify.max_user_watches=524288`, or watch fewer directories",
      }),
    });
  }

  /** Ends a watch; one that the kernel has ended itself is ignored. */
  remove(watch: number): void {
    calls().inotify_rm_watch(this.fd, watch);
  }

  /**
   * Reads the next events.
   *
   * @returns a copy of the kernel's structures; undefined if there are none now.
   * @throws {VsockboxError} IO with the errno.
   */
  read(): Uint8Array | undefined {
    const count = Number(libc().read(this.fd, ptr(this.#buffer), BigInt(BUFFER_BYTES)));
    if (count > 0) return this.#buffer.slice(0, count);
    if (count === 0) return undefined;
    const errno = lastErrno();
    if (["EAGAIN", "EINTR"].includes(errnoName(errno))) return undefined;
    throw systemError(errno, { operation: "read events" });
  }

  /** Closes the queue, which ends all its watches. */
  close(): void {
    closeDescriptor(this.fd);
  }
}
