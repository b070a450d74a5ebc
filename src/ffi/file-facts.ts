/** Facts of files with all that statx(2) reports, without exceptions: for exports, which answer them. */
import type { FileStat, FileTime } from "../file-stat.ts";
import { FFIType, type Pointer } from "bun:ffi";
import { PathBuffer } from "./c-path.ts";
import { ERRNO } from "./errno.ts";
import { lastErrno, openLibc, ptr } from "./libc.ts";

const { i64_fast, pointer } = FFIType;

const SYMBOLS = {
  syscall: {
    args: [i64_fast, i64_fast, pointer, i64_fast, i64_fast, pointer],
    returns: i64_fast,
  },
} as const;

const SYS_STATX = process.arch === "arm64" ? 291 : 332;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;

/** struct statx and its masks, linux/stat.h; the same on every architecture. */
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

let opened: ReturnType<typeof openLibc<typeof SYMBOLS>> | undefined;

function calls() {
  opened ??= openLibc(SYMBOLS);
  return opened;
}

const view = new DataView(new ArrayBuffer(STATX_BYTES));
let viewAddress: Pointer | undefined;
const path = new PathBuffer();
const EMPTY = new Uint8Array(0);
const WORD = 2 ** 32;

function number64(at: number): number {
  return view.getUint32(at + 4, true) * WORD + view.getUint32(at, true);
}

function timeAt(at: number): FileTime {
  const seconds = view.getInt32(at + 4, true) * WORD + view.getUint32(at, true);
  return { seconds, nanoseconds: view.getUint32(at + 8, true) };
}

function birthTime(): bigint {
  if ((view.getUint32(0, true) & STATX_BTIME) === 0) return 0n;
  const seconds = view.getBigInt64(80, true);
  return seconds < 0n ? 0n : seconds * 1_000_000_000n + BigInt(view.getUint32(88, true));
}

function readFacts(): FileStat {
  const major = view.getUint32(128, true);
  const minor = view.getUint32(132, true);
  return {
    ino: view.getBigUint64(32, true),
    dev: (BigInt(view.getUint32(136, true)) << 32n) | BigInt(view.getUint32(140, true)),
    birth: birthTime(),
    mode: view.getUint16(28, true),
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    rdev: ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0,
    size: number64(40),
    blocks: number64(48),
    atime: timeAt(64),
    mtime: timeAt(112),
    ctime: timeAt(96),
    blksize: view.getUint32(4, true),
  };
}

function statx(directory: number, name: Uint8Array, flags: number): FileStat | number {
  const address = path.set(name);
  if (address === undefined) return -ERRNO.EINVAL;
  viewAddress ??= ptr(view);
  const mask = STATX_BASIC_STATS | STATX_BTIME;
  for (;;) {
    const result = calls().syscall(SYS_STATX, directory, address, flags, mask, viewAddress);
    if (Number(result) === 0) return readFacts();
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) return -errno;
  }
}

/** Returns the facts of a name in a directory, of a link itself; or the errno as a negative number. */
export function factsAt(directory: number, name: Uint8Array): FileStat | number {
  return statx(directory, name, AT_SYMLINK_NOFOLLOW);
}

/** Returns the facts of an open file, which may be open by O_PATH; or the errno as a negative number. */
export function factsOf(fd: number): FileStat | number {
  return statx(fd, EMPTY, AT_EMPTY_PATH);
}
