/** A further mount of a mounted file system, which has no path: open_tree(2), mount_setattr(2). */
import { FFIType } from "bun:ffi";
import { cString, lastErrno, openLibc, ptr } from "./libc.ts";
import { closeDescriptor } from "./socket.ts";

const { i64_fast, pointer, u64 } = FFIType;

const SYMBOLS = {
  syscall: { args: [i64_fast, i64_fast, pointer, u64, pointer, u64], returns: i64_fast },
} as const;

/** The same numbers on each architecture, asm-generic/unistd.h. */
const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
/** linux/mount.h. */
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_RDONLY = 1n;

/** struct mount_attr, linux/mount.h: attributes to set, to clear, propagation, a user namespace. */
const ATTRIBUTES = BigUint64Array.of(0n, MOUNT_ATTR_RDONLY, 0n, 0n);

/**
 * Mounts the file system of a directory once more, writable and without what is mounted below it. Needs
 * Linux 5.12 and the right to mount.
 *
 * @param target where the file system is mounted.
 * @returns a descriptor of its root that the caller closes, which ends the mount; or the errno as a negative
 * number.
 */
export function cloneMountWritable(target: string): number {
  const { syscall } = openLibc(SYMBOLS);
  const flags = BigInt(OPEN_TREE_CLONE | O_CLOEXEC);
  const path = ptr(cString(target));
  const fd = Number(syscall(SYS_OPEN_TREE, AT_FDCWD, path, flags, null, 0n));
  if (fd < 0) return -lastErrno();
  const [empty, attributes] = [ptr(cString("")), ptr(ATTRIBUTES)];
  const size = BigInt(ATTRIBUTES.byteLength);
  if (syscall(SYS_MOUNT_SETATTR, fd, empty, BigInt(AT_EMPTY_PATH), attributes, size) >= 0)
    return fd;
  const errno = lastErrno();
  closeDescriptor(fd);
  return -errno;
}
