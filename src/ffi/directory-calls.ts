/**
 * The system calls that name a file by a directory's descriptor and a name in it: openat(2) and its
 * family. Links are never followed. A failed call throws a {@link SystemCallError}, which has the
 * form of the runtime's own file errors.
 */
import type { FileTime } from "../file-stat.ts";
import { FFIType, type Pointer } from "bun:ffi";
import { cString, lastErrno, openLibc, ptr } from "./libc.ts";
import { errnoMessage, errnoName } from "../system-errors.ts";

const { i32, u32, i64_fast, pointer } = FFIType;

/**
 * In a table of their own, since most commands need none of them. statx(2), renameat2(2),
 * getdents64(2) and mknodat(2) go by number: glibc exports their names only since 2.28 to 2.33.
 */
const SYMBOLS = {
  fgetxattr: { args: [i32, pointer, pointer, i64_fast], returns: i64_fast },
  flistxattr: { args: [i32, pointer, i64_fast], returns: i64_fast },
  fsetxattr: { args: [i32, pointer, pointer, i64_fast, i32], returns: i32 },
  fchownat: { args: [i32, pointer, u32, u32, i32], returns: i32 },
  linkat: { args: [i32, pointer, i32, pointer, i32], returns: i32 },
  mkdirat: { args: [i32, pointer, u32], returns: i32 },
  openat: { args: [i32, pointer, i32, u32], returns: i32 },
  readlinkat: { args: [i32, pointer, pointer, i64_fast], returns: i64_fast },
  renameat: { args: [i32, pointer, i32, pointer], returns: i32 },
  symlinkat: { args: [pointer, i32, pointer], returns: i32 },
  syscall: {
    args: [i64_fast, i64_fast, pointer, i64_fast, i64_fast, pointer],
    returns: i64_fast,
  },
  unlinkat: { args: [i32, pointer, i32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
} as const;

/** System call numbers, asm/unistd.h of either architecture. */
const isArm = process.arch === "arm64";
const SYS_GETDENTS64 = isArm ? 61 : 217;
const SYS_MKNODAT = isArm ? 33 : 259;
const SYS_RENAMEAT2 = isArm ? 276 : 316;
const SYS_STATX = isArm ? 291 : 332;

/** In place of a descriptor: the working directory. linux/fcntl.h. */
export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;

/** Flags of open(2) that the runtime's constants lack, or that differ by architecture. */
const O_CLOEXEC = 0o2000000;
/** Only names the file: it can be neither read nor written. */
export const O_PATH = 0o10000000;
const O_TMPFILE_BIT = 0o20000000;
const O_DIRECTORY = isArm ? 0o40000 : 0o200000;
const O_NOFOLLOW = isArm ? 0o100000 : 0o400000;
/** open(2) of a directory: makes a file in it that has no name yet. */
export const O_TMPFILE = O_TMPFILE_BIT | O_DIRECTORY;

const RENAME_NOREPLACE = 1;

/** A failed system call. `code` is the errno's name, as in the runtime's own errors. */
class SystemCallError extends Error {
  override readonly name = "SystemCallError";
  readonly code: string;
  /** The errno. */
  readonly errno: number;

  constructor(errno: number, call: string) {
    super(`${errnoName(errno)}: ${errnoMessage(errno)}, ${call}`);
    this.code = errnoName(errno);
    this.errno = errno;
  }
}

let opened: ReturnType<typeof openLibc<typeof SYMBOLS>> | undefined;

function calls() {
  opened ??= openLibc(SYMBOLS);
  return opened;
}

const EINTR = 4;
const ENOENT = 2;

function checked(call: string, attempt: () => number | bigint): number {
  for (;;) {
    const result = Number(attempt());
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== EINTR) throw new SystemCallError(errno, call);
  }
}

/** Facts of a file, as statx(2) reports them. */
export interface InodeStatus {
  /** Type and permission bits, as `st_mode`. */
  mode: number;
  /** In bytes. */
  size: number;
  /** Of 512 bytes. */
  blocks: number;
  links: number;
  uid: number;
  gid: number;
  /** With {@link device} the identity of the file. */
  inode: bigint;
  device: number;
  /** Of a device node: its major and minor number. */
  node: { major: number; minor: number };
  accessed: FileTime;
  modified: FileTime;
  /** Whether a file system is mounted there; undefined before Linux 5.8. */
  isMountPoint: boolean | undefined;
}

/** struct statx and the masks for it, linux/stat.h; the same on every architecture. */
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const statxBuffer = new DataView(new ArrayBuffer(STATX_BYTES));
let statxAddress: Pointer | undefined;

function readTime(offset: number): FileTime {
  return {
    seconds: Number(statxBuffer.getBigInt64(offset, true)),
    nanoseconds: statxBuffer.getUint32(offset + 8, true),
  };
}

function readStatus(): InodeStatus {
  const view = statxBuffer;
  const known = view.getUint32(56, true);
  return {
    mode: view.getUint16(28, true),
    size: Number(view.getBigUint64(40, true)),
    blocks: Number(view.getBigUint64(48, true)),
    links: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    inode: view.getBigUint64(32, true),
    device: view.getUint32(136, true) * 2 ** 32 + view.getUint32(140, true),
    node: { major: view.getUint32(128, true), minor: view.getUint32(132, true) },
    accessed: readTime(64),
    modified: readTime(112),
    isMountPoint:
      (known & STATX_ATTR_MOUNT_ROOT) === 0
        ? undefined
        : (view.getUint32(8, true) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

const EMPTY_NAME = Uint8Array.of(0);

function statx(directory: number, name: Uint8Array, flags: number): number {
  statxAddress ??= ptr(statxBuffer);
  for (;;) {
    const result = calls().syscall(
      SYS_STATX,
      directory,
      ptr(name),
      flags,
      STATX_BASIC_STATS,
      statxAddress,
    );
    if (Number(result) === 0) return 0;
    const errno = lastErrno();
    if (errno !== EINTR) return errno;
  }
}

/** The facts of a name in a directory, of a link itself; undefined if it does not exist. */
export function statAt(directory: number, name: Uint8Array): InodeStatus | undefined {
  const errno = statx(directory, cString(name), AT_SYMLINK_NOFOLLOW);
  if (errno === ENOENT) return undefined;
  if (errno !== 0) throw new SystemCallError(errno, "statx");
  return readStatus();
}

/** The facts of an open file. */
export function statDescriptor(fd: number): InodeStatus {
  const errno = statx(fd, EMPTY_NAME, AT_EMPTY_PATH);
  if (errno !== 0) throw new SystemCallError(errno, "statx");
  return readStatus();
}

/** Opens a name in a directory; a link is refused with ELOOP. The caller closes the descriptor. */
export function openAt(directory: number, name: Uint8Array, flags: number, mode = 0): number {
  const path = cString(name);
  return checked("open", () =>
    calls().openat(directory, ptr(path), flags | O_CLOEXEC | O_NOFOLLOW, mode),
  );
}

/** Opens a path from a directory on, links followed. The caller closes the descriptor. */
export function openFollowing(directory: number, path: Uint8Array, flags: number): number {
  const terminated = cString(path);
  return checked("open", () => calls().openat(directory, ptr(terminated), flags | O_CLOEXEC, 0));
}

/** mkdirat(2). The umask clears its bits of the mode. */
export function makeDirectoryAt(directory: number, name: Uint8Array, mode: number): void {
  const path = cString(name);
  checked("mkdir", () => calls().mkdirat(directory, ptr(path), mode));
}

/** unlinkat(2): removes a name that is not a directory's. */
export function unlinkAt(directory: number, name: Uint8Array): void {
  const path = cString(name);
  checked("unlink", () => calls().unlinkat(directory, ptr(path), 0));
}

/** unlinkat(2): removes an empty directory. */
export function removeDirectoryAt(directory: number, name: Uint8Array): void {
  const path = cString(name);
  checked("rmdir", () => calls().unlinkat(directory, ptr(path), AT_REMOVEDIR));
}

/** A name in an open directory. */
export interface NameAt {
  directory: number;
  name: Uint8Array;
}

/** renameat(2): replaces what stands there. */
export function renameAt(from: NameAt, to: NameAt): void {
  const names = [cString(from.name), cString(to.name)] as const;
  checked("rename", () =>
    calls().renameat(from.directory, ptr(names[0]), to.directory, ptr(names[1])),
  );
}

/** renameat2(2) with RENAME_NOREPLACE: fails with EEXIST; EINVAL if the file system cannot do it. */
export function renameNewAt(from: NameAt, to: NameAt): void {
  const names = [cString(from.name), cString(to.name)] as const;
  checked("rename", () =>
    calls().syscall(
      SYS_RENAMEAT2,
      from.directory,
      ptr(names[0]),
      to.directory,
      ptr(names[1]),
      RENAME_NOREPLACE as Pointer,
    ),
  );
}

/** linkat(2): another name for a file, or for a link itself. Fails with EEXIST. */
export function linkAt(from: NameAt, to: NameAt): void {
  const names = [cString(from.name), cString(to.name)] as const;
  checked("link", () =>
    calls().linkat(from.directory, ptr(names[0]), to.directory, ptr(names[1]), 0),
  );
}

/** linkat(2) of an open file, through /proc, which needs no capability. Fails with EEXIST. */
export function linkDescriptorAt(fd: number, to: NameAt): void {
  const names = [cString(`/proc/self/fd/${fd}`), cString(to.name)] as const;
  checked("link", () =>
    calls().linkat(AT_FDCWD, ptr(names[0]), to.directory, ptr(names[1]), AT_SYMLINK_FOLLOW),
  );
}

/** symlinkat(2). */
export function makeLinkAt(target: Uint8Array, { directory, name }: NameAt): void {
  const names = [cString(target), cString(name)] as const;
  checked("symlink", () => calls().symlinkat(ptr(names[0]), directory, ptr(names[1])));
}

/** PATH_MAX of linux/limits.h: no link is longer. */
const PATH_MAX = 4096;

/** readlinkat(2): a link's target. */
export function readLinkAt({ directory, name }: NameAt): Uint8Array {
  const path = cString(name);
  const target = new Uint8Array(PATH_MAX);
  const length = checked("readlink", () =>
    calls().readlinkat(directory, ptr(path), ptr(target), target.length),
  );
  return target.subarray(0, length);
}

/** mknodat(2): a FIFO, socket or device node. `mode` contains the type; the umask clears its bits. */
export function makeNodeAt({ directory, name }: NameAt, status: InodeStatus, mode: number): void {
  const path = cString(name);
  const { major, minor } = status.node;
  // As new_encode_dev() of the kernel has it.
  const device = (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  checked("mknod", () =>
    calls().syscall(SYS_MKNODAT, directory, ptr(path), mode, device >>> 0, null),
  );
}

/** fchownat(2) of a name itself. */
export function changeOwnerAt({ directory, name }: NameAt, uid: number, gid: number): void {
  const path = cString(name);
  checked("chown", () => calls().fchownat(directory, ptr(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

/** utimensat(2) of a name itself. */
export function setTimesAt(
  { directory, name }: NameAt,
  times: { accessed: FileTime; modified: FileTime },
): void {
  const path = cString(name);
  const specs = [times.accessed, times.modified].flatMap(({ seconds, nanoseconds }) => [
    BigInt(seconds),
    BigInt(nanoseconds),
  ]);
  const timespecs = BigInt64Array.from(specs);
  checked("utimensat", () =>
    calls().utimensat(directory, ptr(path), ptr(timespecs), AT_SYMLINK_NOFOLLOW),
  );
}

/** An entry of a directory. */
export interface DirectoryEntry {
  name: Uint8Array;
  /** As `d_type` of readdir(3); 0 if the file system does not report it. */
  type: number;
}

/** `d_type` of a file system that does not report types, of a directory, and of a regular file, dirent.h. */
export const DT_UNKNOWN = 0;
export const DT_DIR = 4;
export const DT_REG = 8;

const DIRENTS_BYTES = 64 * 1024;
/** struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name. */
const DIRENT_NAME = 19;
const DOT = 0x2e;
const direntBuffer = new Uint8Array(DIRENTS_BYTES);

/** getdents64(2) to the end of an open directory, from its current offset; without `.` and `..`. */
export function readEntries(fd: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const view = new DataView(direntBuffer.buffer);
  for (;;) {
    const bytes = checked("readdir", () =>
      calls().syscall(SYS_GETDENTS64, fd, ptr(direntBuffer), DIRENTS_BYTES, 0, null),
    );
    if (bytes === 0) return entries;
    for (let at = 0; at < bytes;) {
      const length = view.getUint16(at + 16, true);
      const end = direntBuffer.indexOf(0, at + DIRENT_NAME);
      const name = direntBuffer.slice(at + DIRENT_NAME, end);
      const isDots = name.length <= 2 && name.every((byte) => byte === DOT);
      if (!isDots) entries.push({ name, type: view.getUint8(at + 18) });
      at += length;
    }
  }
}

/** XATTR_LIST_MAX and XATTR_SIZE_MAX, linux/limits.h: lists and values are not longer. */
const XATTR_BYTES = 65_536;

/**
 * Copies the extended attributes of one open file to another, access control lists and capabilities among
 * them, as far as its file system and this user's rights go.
 */
export function copyAttributes(from: number, to: number): void {
  const list = new Uint8Array(XATTR_BYTES);
  const length = Number(calls().flistxattr(from, ptr(list), list.length));
  if (length <= 0) return;
  const value = new Uint8Array(XATTR_BYTES);
  for (let begin = 0; begin < length;) {
    const end = list.indexOf(0, begin) + 1;
    const name = list.slice(begin, end);
    begin = end;
    const bytes = Number(calls().fgetxattr(from, ptr(name), ptr(value), value.length));
    if (bytes >= 0) calls().fsetxattr(to, ptr(name), ptr(value), bytes, 0);
  }
}
