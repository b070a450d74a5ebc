/**
 * libc, opened once. The only place that knows which file it is: glibc has it as `libc.so.6`, musl
 * under the loader's name.
 */
import { dlopen, type FFIFunction, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { VsockboxError } from "../errors.ts";

const { i16, i32, i64, u32, u64, pointer, i64_fast, void: nothing } = FFIType;

const SYMBOLS = {
  __errno_location: { args: [], returns: pointer },
  _exit: { args: [i32], returns: i32 },
  accept4: { args: [i32, pointer, pointer, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  capset: { args: [pointer, pointer], returns: i32 },
  chdir: { args: [pointer], returns: i32 },
  close: { args: [i32], returns: i32 },
  connect: { args: [i32, pointer, u32], returns: i32 },
  epoll_create1: { args: [i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
  epoll_wait: { args: [i32, pointer, i32, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  execve: { args: [pointer, pointer, pointer], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  futimens: { args: [i32, pointer], returns: i32 },
  getpeername: { args: [i32, pointer, pointer], returns: i32 },
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  ioctl: { args: [i32, u64, pointer], returns: i32 },
  kill: { args: [i32, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  lseek: { args: [i32, i64_fast, i32], returns: i64_fast },
  memcpy: { args: [pointer, pointer, u64], returns: pointer },
  // As a number: MAP_FAILED, -1, is not a pointer.
  mmap: { args: [pointer, u64, i32, i32, i32, i64], returns: i64_fast },
  memfd_create: { args: [pointer, u32], returns: i32 },
  mount: { args: [pointer, pointer, pointer, u64, pointer], returns: i32 },
  mprotect: { args: [pointer, u64, i32], returns: i32 },
  munmap: { args: [pointer, u64], returns: i32 },
  open: { args: [pointer, i32, i32], returns: i32 },
  pipe2: { args: [pointer, i32], returns: i32 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  posix_spawn: { args: [pointer, pointer, pointer, pointer, pointer, pointer], returns: i32 },
  posix_spawnattr_init: { args: [pointer], returns: i32 },
  posix_spawnattr_setflags: { args: [pointer, i16], returns: i32 },
  posix_spawnattr_setsigdefault: { args: [pointer, pointer], returns: i32 },
  posix_spawnattr_setsigmask: { args: [pointer, pointer], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  pthread_sigmask: { args: [i32, pointer, pointer], returns: i32 },
  read: { args: [i32, pointer, u64], returns: i64_fast },
  readv: { args: [i32, pointer, i32], returns: i64_fast },
  realpath: { args: [pointer, pointer], returns: pointer },
  recv: { args: [i32, pointer, u64, i32], returns: i64_fast },
  recvmsg: { args: [i32, pointer, i32], returns: i64_fast },
  reboot: { args: [i32], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i64_fast },
  sendmsg: { args: [i32, pointer, i32], returns: i64_fast },
  sendto: { args: [i32, pointer, u64, i32, pointer, u32], returns: i64_fast },
  setgid: { args: [u32], returns: i32 },
  setrlimit: { args: [i32, pointer], returns: i32 },
  setgroups: { args: [u64, pointer], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  setpgid: { args: [i32, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  setuid: { args: [u32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  signal: { args: [i32, pointer], returns: pointer },
  sigpending: { args: [pointer], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  statfs: { args: [pointer, pointer], returns: i32 },
  sync: { args: [], returns: nothing },
  // Not mknodat(3): glibc exports that name only since 2.33.
  syscall: { args: [i64_fast, i64_fast, pointer, u64, u64], returns: i64_fast },
  unshare: { args: [i32], returns: i32 },
  usleep: { args: [u32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  waitid: { args: [i32, u32, pointer, i32], returns: i32 },
  waitpid: { args: [i32, pointer, i32], returns: i32 },
  write: { args: [i32, pointer, u64], returns: i64_fast },
  writev: { args: [i32, pointer, i32], returns: i64_fast },
} as const;

/** The file name of musl contains the architecture. */
const MUSL_MACHINE = process.arch === "arm64" ? "aarch64" : "x86_64";

/** Tried in order; dlopen searches the loader's own directories. */
export const LIBC_NAMES = [
  "libc.so.6",
  `libc.musl-${MUSL_MACHINE}.so.1`,
  `/lib/ld-musl-${MUSL_MACHINE}.so.1`,
  "libc.so",
] as const;

/**
 * Opens libc with a table of symbols of the caller's.
 *
 * @throws {VsockboxError} UNAVAILABLE if no libc can be opened.
 */
export function openLibc<Symbols extends Record<string, FFIFunction>>(symbols: Symbols) {
  const reasons: string[] = [];
  for (const name of LIBC_NAMES) {
    try {
      return dlopen(name, symbols).symbols;
    } catch (thrown) {
      reasons.push(`${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "load libc",
    message: reasons.join("; "),
    hint: "vsockbox needs glibc or musl as a shared library; pick the build that matches the root file system",
  });
}

type Libc = ReturnType<typeof openLibc<typeof SYMBOLS>>;

let opened: Libc | undefined;
let errnoAddress: Parameters<typeof read.i32>[0] | undefined;

/**
 * The symbols of libc, opened at the first use so that `--help` and `--version` never pay for it.
 *
 * @throws {VsockboxError} UNAVAILABLE if no libc can be opened.
 */
export function libc(): Libc {
  opened ??= openLibc(SYMBOLS);
  return opened;
}

/** syscall(2); arguments are whole numbers, addresses among them. */
export function systemCall(number: number, a: number, b: number, c = 0, d = 0): number {
  return Number(libc().syscall(number, a, b as Pointer, BigInt(c), BigInt(d)));
}

/**
 * errno of this thread, as it was left by the last libc call. Read it right after that call: any
 * file-system call of the runtime in between overwrites it.
 */
export function lastErrno(): number {
  errnoAddress ??= libc().__errno_location() ?? undefined;
  return errnoAddress === undefined ? 0 : read.i32(errnoAddress, 0);
}

/** A NUL-terminated copy of bytes, or of text in UTF-8, for a `const char *` argument. */
export function cString(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  if (bytes.includes(0)) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "pass a string to libc",
      message: "it contains a NUL byte",
    });
  }
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** SIG_IGN, for signal(2). */
export const IGNORE_SIGNAL = 1 as Pointer;

/** A NULL-terminated `char *const []`; `strings` holds what it points to and must live as long. */
export function cStringVector(words: readonly (string | Uint8Array)[]): {
  vector: BigUint64Array;
  strings: Uint8Array[];
} {
  const strings = words.map(cString);
  return {
    vector: BigUint64Array.from([...strings.map((text) => BigInt(ptr(text))), 0n]),
    strings,
  };
}

export { ptr };
