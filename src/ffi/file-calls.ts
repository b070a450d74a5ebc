/**
 * System calls on open files and on names in a directory, without exceptions: each returns 0 or a count,
 * or the errno as a negative number. An export answers its guest with them.
 */
import type { FileSystemFacts, FileTime } from "../file-stat.ts";
import { FFIType, type Pointer } from "bun:ffi";
import { PathBuffer } from "./c-path.ts";
import { ERRNO } from "./errno.ts";
import { lastErrno, libc, openLibc, ptr } from "./libc.ts";

const { i32, u32, i64_fast, pointer } = FFIType;

/** 64-bit forms: off_t has 64 bits in glibc and musl on 64-bit architectures. */
const SYMBOLS = {
  chmod: { args: [pointer, u32], returns: i32 },
  copy_file_range: {
    args: [i32, pointer, i32, pointer, i64_fast, u32],
    returns: i64_fast,
  },
  fallocate: { args: [i32, i32, i64_fast, i64_fast], returns: i32 },
  fchownat: { args: [i32, pointer, u32, u32, i32], returns: i32 },
  ftruncate: { args: [i32, i64_fast], returns: i32 },
  fstatfs: { args: [i32, pointer], returns: i32 },
  getxattr: { args: [pointer, pointer, pointer, i64_fast], returns: i64_fast },
  linkat: { args: [i32, pointer, i32, pointer, i32], returns: i32 },
  listxattr: { args: [pointer, pointer, i64_fast], returns: i64_fast },
  mkdirat: { args: [i32, pointer, u32], returns: i32 },
  openat: { args: [i32, pointer, i32, u32], returns: i32 },
  pread: { args: [i32, pointer, i64_fast, i64_fast], returns: i64_fast },
  pwrite: { args: [i32, pointer, i64_fast, i64_fast], returns: i64_fast },
  readlinkat: { args: [i32, pointer, pointer, i64_fast], returns: i64_fast },
  removexattr: { args: [pointer, pointer], returns: i32 },
  setxattr: { args: [pointer, pointer, pointer, i64_fast, i32], returns: i32 },
  symlinkat: { args: [pointer, i32, pointer], returns: i32 },
  truncate: { args: [pointer, i64_fast], returns: i32 },
  unlinkat: { args: [i32, pointer, i32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
} as const;

/** mknodat(2), renameat2(2), getdents64(2) and pwritev2(2) go by number: old glibc lacks their names. */
const NUMBERED = {
  syscall: {
    args: [i64_fast, i64_fast, pointer, i64_fast, pointer, i64_fast],
    returns: i64_fast,
  },
} as const;

const VECTORED = {
  syscall: {
    args: [i64_fast, i64_fast, pointer, i64_fast, i64_fast, i64_fast, i64_fast],
    returns: i64_fast,
  },
} as const;

const isArm = process.arch === "arm64";
const SYS_GETDENTS64 = isArm ? 61 : 217;
const SYS_MKNODAT = isArm ? 33 : 259;
const SYS_PWRITEV2 = isArm ? 287 : 328;
const SYS_RENAMEAT2 = isArm ? 276 : 316;

/** linux/fs.h. */
const RWF_APPEND = 0x10;

const AT_FDCWD = -100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const O_CLOEXEC = 0o2000000;
const O_NOFOLLOW = isArm ? 0o100000 : 0o400000;

let named: ReturnType<typeof openLibc<typeof SYMBOLS>> | undefined;
let byVector: ReturnType<typeof openLibc<typeof VECTORED>> | undefined;
let numbered: ReturnType<typeof openLibc<typeof NUMBERED>> | undefined;

function calls() {
  named ??= openLibc(SYMBOLS);
  return named;
}

function byNumber() {
  numbered ??= openLibc(NUMBERED);
  return numbered;
}

function vectored() {
  byVector ??= openLibc(VECTORED);
  return byVector;
}

function attempt(call: () => number | bigint): number {
  for (;;) {
    const result = Number(call());
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) return -errno;
  }
}

const first = new PathBuffer();
const second = new PathBuffer();
const NAME_REFUSED = -ERRNO.EINVAL;

function withName(name: Uint8Array, call: (address: Pointer) => number | bigint): number {
  const address = first.set(name);
  return address === undefined ? NAME_REFUSED : attempt(() => call(address));
}

/** A name in an open directory, which may be open by O_PATH. */
export interface NameIn {
  readonly directory: number;
  readonly name: Uint8Array;
}

function withNames(
  from: Uint8Array,
  to: Uint8Array,
  call: (from: Pointer, to: Pointer) => number | bigint,
): number {
  const one = first.set(from);
  const other = second.set(to);
  return one === undefined || other === undefined ? NAME_REFUSED : attempt(() => call(one, other));
}

/** pread(2) to an address that the caller owns. */
export function readFrom(fd: number, address: number, bytes: number, offset: number): number {
  return attempt(() => calls().pread(fd, address as Pointer, bytes, offset));
}

/** pwrite(2). May write less than all bytes. */
export function writeTo(fd: number, data: Uint8Array, offset: number): number {
  if (data.length === 0) return 0;
  return attempt(() => calls().pwrite(fd, ptr(data), data.length, offset));
}

const piece = new BigUint64Array(2);

/** pwritev2(2) with RWF_APPEND; before Linux 4.16 at the offset. May write less than all bytes. */
export function appendTo(fd: number, data: Uint8Array, offset: number): number {
  if (data.length === 0) return 0;
  piece[0] = BigInt(ptr(data));
  piece[1] = BigInt(data.length);
  const count = attempt(() =>
    vectored().syscall(SYS_PWRITEV2, fd, ptr(piece), 1, offset, 0, RWF_APPEND),
  );
  const isUnknown = count === -ERRNO.ENOSYS || count === -ERRNO.EOPNOTSUPP;
  return isUnknown ? writeTo(fd, data, offset) : count;
}

/** lseek(2). */
export function seekTo(fd: number, offset: number | bigint, whence: number): number {
  return attempt(() => libc().lseek(fd, offset, whence));
}

/** fallocate(2); `mode` has its flags. */
export function allocate(fd: number, mode: number, offset: number, bytes: number): number {
  return attempt(() => calls().fallocate(fd, mode, offset, bytes));
}

const offsets = new BigInt64Array(2);

/** copy_file_range(2). May copy less than all bytes. */
export function copyRange(
  from: { fd: number; offset: number },
  to: { fd: number; offset: number },
  bytes: number,
): number {
  const address = ptr(offsets);
  return attempt(() => {
    offsets[0] = BigInt(from.offset);
    offsets[1] = BigInt(to.offset);
    const toAddress = (address + 8) as Pointer;
    return calls().copy_file_range(from.fd, address, to.fd, toAddress, bytes, 0);
  });
}

/** Opens a name in a directory, never a link. Returns a descriptor that the caller closes. */
export function openIn({ directory, name }: NameIn, flags: number, mode: number): number {
  return withName(name, (address) =>
    calls().openat(directory, address, flags | O_CLOEXEC | O_NOFOLLOW, mode),
  );
}

/** Opens an open file again, with other flags; it may be open by O_PATH. Needs /proc. */
export function reopen(fd: number, flags: number): number {
  const address = first.setDescriptor(fd);
  return attempt(() => calls().openat(AT_FDCWD, address, flags | O_CLOEXEC, 0));
}

/** mkdirat(2). The umask clears its bits of the mode. */
export function makeDirectoryIn({ directory, name }: NameIn, mode: number): number {
  return withName(name, (address) => calls().mkdirat(directory, address, mode));
}

/** mknodat(2); `mode` has the type. The umask clears its bits. */
export function makeNodeIn({ directory, name }: NameIn, mode: number, rdev: number): number {
  return withName(name, (address) =>
    byNumber().syscall(SYS_MKNODAT, directory, address, mode, rdev as Pointer, 0),
  );
}

/** unlinkat(2) of a file or, with `isDirectory`, of an empty directory. */
export function removeIn({ directory, name }: NameIn, isDirectory: boolean): number {
  const flags = isDirectory ? AT_REMOVEDIR : 0;
  return withName(name, (address) => calls().unlinkat(directory, address, flags));
}

/** renameat2(2); flags: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
export function renameIn(from: NameIn, to: NameIn, flags: number): number {
  return withNames(from.name, to.name, (one, other) =>
    byNumber().syscall(SYS_RENAMEAT2, from.directory, one, to.directory, other, flags),
  );
}

/** linkat(2): another name for a file, or for a link itself. */
export function linkIn(from: NameIn, to: NameIn): number {
  return withNames(from.name, to.name, (one, other) =>
    calls().linkat(from.directory, one, to.directory, other, 0),
  );
}

/** symlinkat(2). */
export function makeLinkIn(target: Uint8Array, { directory, name }: NameIn): number {
  return withNames(target, name, (text, address) => calls().symlinkat(text, directory, address));
}

/** PATH_MAX of linux/limits.h: no link's text is longer. */
const PATH_MAX = 4096;

/** readlinkat(2). */
export function readLinkIn({ directory, name }: NameIn): Uint8Array | number {
  const text = new Uint8Array(PATH_MAX);
  const length = withName(name, (address) =>
    calls().readlinkat(directory, address, ptr(text), PATH_MAX),
  );
  return length < 0 ? length : text.subarray(0, length);
}

/** The path of an open file as the kernel knows it now. Needs /proc. */
export function pathOfDescriptor(fd: number): Uint8Array | number {
  return readLinkIn({ directory: AT_FDCWD, name: Buffer.from(`/proc/self/fd/${fd}`) });
}

/** chmod(2) of an open file, which may be open by O_PATH. Needs /proc. EOPNOTSUPP for a link. */
export function changeMode(fd: number, mode: number): number {
  const address = first.setDescriptor(fd);
  return attempt(() => calls().chmod(address, mode));
}

/** fchownat(2) of an open file, which may be open by O_PATH; 2^32 - 1 leaves an id as it is. */
export function changeOwnerOf(fd: number, uid: number, gid: number): number {
  return withName(EMPTY, (address) => calls().fchownat(fd, address, uid, gid, AT_EMPTY_PATH));
}

const EMPTY = new Uint8Array(0);
const times = new BigInt64Array(4);

/** UTIME_OMIT of linux/stat.h: in place of nanoseconds, leaves a time as it is. */
const UTIME_OMIT = 0x3fff_fffe;

/** utimensat(2) of an open file, which may be open by O_PATH. Needs /proc. */
export function changeTimes(
  fd: number,
  accessed: FileTime | undefined,
  modified: FileTime | undefined,
): number {
  for (const [index, time] of [accessed, modified].entries()) {
    times[2 * index] = BigInt(time?.seconds ?? 0);
    times[2 * index + 1] = BigInt(time?.nanoseconds ?? UTIME_OMIT);
  }
  const address = first.setDescriptor(fd);
  return attempt(() => calls().utimensat(AT_FDCWD, address, ptr(times), 0));
}

/** truncate(2) of an open file, which may be open by O_PATH. Needs /proc. */
export function changeSize(fd: number, bytes: number): number {
  const address = first.setDescriptor(fd);
  return attempt(() => calls().truncate(address, bytes));
}

/** ftruncate(2) of a file that is open for writing. */
export function changeSizeOfOpen(fd: number, bytes: number): number {
  return attempt(() => calls().ftruncate(fd, bytes));
}

/** sizeof(struct statfs) on 64-bit architectures, asm-generic/statfs.h: eleven words and more. */
const STATFS_BYTES = 120;

/** fstatfs(2). */
export function fileSystemOf(fd: number): FileSystemFacts | number {
  const words = new BigUint64Array(STATFS_BYTES / 8);
  const result = attempt(() => calls().fstatfs(fd, ptr(words)));
  if (result < 0) return result;
  const word = (index: number) => Number(words[index] ?? 0n);
  return {
    bsize: word(1),
    frsize: word(9) === 0 ? word(1) : word(9),
    blocks: word(2),
    bfree: word(3),
    bavail: word(4),
    files: word(5),
    ffree: word(6),
    namelen: word(8),
  };
}

/** getdents64(2) into a buffer. Returns the number of bytes, 0 at the end. */
export function readDirents(fd: number, into: Uint8Array): number {
  return attempt(() => byNumber().syscall(SYS_GETDENTS64, fd, ptr(into), into.length, null, 0));
}

/** XATTR_SIZE_MAX and XATTR_LIST_MAX, linux/limits.h. */
const XATTR_BYTES = 65_536;

/** An extended attribute of an open file, which may be open by O_PATH. Needs /proc. */
export function getXattrOf(fd: number, name: Uint8Array): Uint8Array | number {
  const address = first.setDescriptor(fd);
  const nameAddress = second.set(name);
  if (nameAddress === undefined) return NAME_REFUSED;
  const value = new Uint8Array(XATTR_BYTES);
  const length = attempt(() => calls().getxattr(address, nameAddress, ptr(value), XATTR_BYTES));
  return length < 0 ? length : value.subarray(0, length);
}

/** The names of the extended attributes of an open file, each with a NUL after it. */
export function listXattrsOf(fd: number): Uint8Array | number {
  const address = first.setDescriptor(fd);
  const names = new Uint8Array(XATTR_BYTES);
  const length = attempt(() => calls().listxattr(address, ptr(names), XATTR_BYTES));
  return length < 0 ? length : names.subarray(0, length);
}

/** Sets an extended attribute of an open file; flags: XATTR_CREATE 1, XATTR_REPLACE 2. */
export function setXattrOf(fd: number, name: Uint8Array, value: Uint8Array, flags: number): number {
  const address = first.setDescriptor(fd);
  const nameAddress = second.set(name);
  if (nameAddress === undefined) return NAME_REFUSED;
  const valueAddress = value.length === 0 ? null : ptr(value);
  return attempt(() => calls().setxattr(address, nameAddress, valueAddress, value.length, flags));
}

/** Removes an extended attribute of an open file. */
export function removeXattrOf(fd: number, name: Uint8Array): number {
  const address = first.setDescriptor(fd);
  const nameAddress = second.set(name);
  return nameAddress === undefined
    ? NAME_REFUSED
    : attempt(() => calls().removexattr(address, nameAddress));
}
