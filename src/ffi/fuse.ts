/** The kernel's FUSE: /dev/fuse, mount(2) of a file system of it, umount2(2). */
import { FFIType } from "bun:ffi";
import { ERRNO, systemError } from "./errno.ts";
import { IoVector } from "./iovec.ts";
import { cString, lastErrno, libc, openLibc, ptr } from "./libc.ts";
import { makeMountReadOnly, MS_NODEV, MS_NOSUID } from "./mount.ts";
import { closeDescriptor } from "./socket.ts";

/** In a table of its own, since most commands do without it. */
const SYMBOLS = {
  umount2: { args: [FFIType.pointer, FFIType.i32], returns: FFIType.i32 },
} as const;

const DEVICE = "/dev/fuse";
const O_RDWR = 0o2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
/** Of each mount. */
const FLAGS = MS_NOSUID | MS_NODEV;

/** Settings of {@link mountFuse}. */
export interface FuseMount {
  /** Absolute path of the directory to mount on. */
  target: string;
  /** The first column of /proc/mounts. */
  source: string;
  /** The type there, `fuse.…`. */
  type: string;
  /**
   * Whether the kernel refuses changes through this mount. Those through another mount of the file system
   * are the caller's to refuse.
   */
  isReadOnly: boolean;
  /** Whether users other than this one may use the mount. */
  isShared: boolean;
  /** Whether the kernel checks modes and owners. */
  checksPermissions: boolean;
  /** The largest read, in bytes. */
  maxReadBytes: number;
  uid: number;
  gid: number;
}

/**
 * Mounts a file system whose requests arrive at the returned descriptor, which is the caller's: closing it
 * ends the file system.
 *
 * @throws {VsockboxError} UNAVAILABLE without /dev/fuse, REFUSED without the right to mount.
 */
export function mountFuse(settings: FuseMount): number {
  const fd = libc().open(ptr(cString(DEVICE)), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) {
    throw systemError(lastErrno(), {
      operation: "open",
      address: DEVICE,
      hint: "the kernel needs CONFIG_FUSE_FS, or its module fuse",
    });
  }
  const [source, target, type, data] = [
    settings.source,
    settings.target,
    settings.type,
    mountData(fd, settings),
  ].map(cString) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const result = libc().mount(ptr(source), ptr(target), ptr(type), BigInt(FLAGS), ptr(data));
  const errno = result === 0 ? limitMount(settings) : lastErrno();
  if (errno === 0) return fd;
  closeDescriptor(fd);
  const isRefused = errno === ERRNO.EPERM || errno === ERRNO.EACCES;
  throw systemError(errno, {
    ...{ operation: "mount", address: settings.target },
    ...(isRefused ? { hint: "mounting needs root, or the capability CAP_SYS_ADMIN" } : {}),
  });
}

/** Makes the mount read-only, not its file system; returns 0, or the errno after it was unmounted. */
function limitMount({ target, isReadOnly }: FuseMount): number {
  const errno = isReadOnly ? makeMountReadOnly(target, FLAGS) : 0;
  if (errno !== 0) unmount(target, true);
  return errno;
}

/** Options of the file system, Documentation/filesystems/fuse.rst. */
function mountData(fd: number, settings: FuseMount): string {
  return [
    `fd=${fd}`,
    "rootmode=40000",
    `user_id=${settings.uid}`,
    `group_id=${settings.gid}`,
    `max_read=${settings.maxReadBytes}`,
    ...(settings.isShared ? ["allow_other"] : []),
    ...(settings.checksPermissions ? ["default_permissions"] : []),
  ].join();
}

/**
 * Unmounts a directory; symbolic links are not followed.
 *
 * @param isLazy whether files that are in use stay usable until they are closed.
 * @returns 0 or the errno: EBUSY if it is in use, EINVAL if nothing is mounted there.
 */
export function unmount(target: string, isLazy: boolean): number {
  const flags = UMOUNT_NOFOLLOW | (isLazy ? MNT_DETACH : 0);
  const result = openLibc(SYMBOLS).umount2(ptr(cString(target)), flags);
  return result < 0 ? lastErrno() : 0;
}

/** Requests and answers of one mount. */
export class FuseDescriptor {
  readonly fd: number;
  readonly #vector = new IoVector(2);

  /** @param fd of {@link mountFuse}. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Reads one request, without waiting: its bytes, 0 at the end, or a negative errno. */
  read(buffer: Uint8Array): number {
    const count = Number(libc().read(this.fd, ptr(buffer), buffer.length));
    if (count >= 0) return count;
    const errno = lastErrno();
    return errno === ERRNO.EINTR ? this.read(buffer) : -errno;
  }

  /**
   * Writes an answer in one call: the first `length` bytes of `head`, then `data`.
   *
   * @returns the count of bytes, or a negative errno: ENOENT if the request is no longer waited for.
   */
  write(head: Uint8Array, length: number, data: Uint8Array | undefined): number {
    if (data === undefined || data.length === 0) {
      const count = Number(libc().write(this.fd, ptr(head), length));
      return count < 0 ? -lastErrno() : count;
    }
    this.#vector.clear();
    this.#vector.push(ptr(head), length);
    this.#vector.push(ptr(data), data.length);
    return this.#vector.writev(this.fd);
  }
}
