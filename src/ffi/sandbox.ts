/**
 * Dropping privileges: prctl(2), capset(2), unshare(2), seccomp(2). All but
 * {@link filterAllThreads} act on the calling thread alone, which is enough: it is the one that
 * becomes, or starts, the command.
 */
import { type Operation } from "../operations.ts";
import type { Pointer } from "bun:ffi";
import { VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "./errno.ts";
import { cString, lastErrno, libc, ptr } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_SECCOMP = 22;
const PR_CAPBSET_DROP = 24;
const PR_SET_SECUREBITS = 28;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

const SECCOMP_MODE_FILTER = 2;
const SIGKILL = 9;

/**
 * SECBIT_NOROOT, SECBIT_KEEP_CAPS (off) and SECBIT_NO_CAP_AMBIENT_RAISE with their locks,
 * linux/securebits.h: execve(2) grants uid 0 no capabilities, and the locks make that permanent.
 */
const SECUREBITS = 0b1110_0011;

const CAPABILITY_VERSION_3 = 0x2008_0522;
/** Highest capability number in the two 32-bit words of a capability set. */
const CAPABILITY_MAX = 63;

/** Namespaces, linux/sched.h: mounts, System V IPC and POSIX queues, users, processes, network. */
export const Namespace = {
  Mount: 0x2_0000,
  Ipc: 0x800_0000,
  User: 0x1000_0000,
  Pid: 0x2000_0000,
  Network: 0x4000_0000,
} as const;

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x4_0000;

interface Failure {
  operation: Operation;
  /** The hint for EPERM. */
  needs?: string;
  /** The hint for EINVAL. */
  kernel?: string;
}

function control(option: number, values: readonly (number | bigint)[], failure: Failure): void {
  const [second = 0, third = 0] = values;
  if (libc().prctl(option, second, third, 0, 0) < 0) throw failed(lastErrno(), failure);
}

function failed(errno: number, { operation, needs, kernel }: Failure) {
  if (errno === ERRNO.EINVAL && kernel !== undefined) {
    const hint = `it needs a kernel with ${kernel}`;
    return systemError(errno, { operation, code: "UNAVAILABLE", hint });
  }
  const hint =
    errno === ERRNO.EPERM && needs !== undefined
      ? `it needs ${needs}: start it as root with all capabilities`
      : undefined;
  return systemError(errno, { operation, hint });
}

/**
 * Sets no-new-privs: execve(2) grants no privileges, by set-user-ID or file capabilities, from now on.
 *
 * @throws {VsockboxError} UNAVAILABLE before Linux 3.5.
 */
export function setNoNewPrivs(): void {
  control(PR_SET_NO_NEW_PRIVS, [1], { operation: "set no-new-privs", kernel: "no_new_privs" });
}

/**
 * Empties the bounding set, so that execve(2) grants no capabilities of a file.
 *
 * @throws {VsockboxError} REFUSED without CAP_SETPCAP.
 */
export function dropBoundingSet(): void {
  for (let capability = 0; capability <= CAPABILITY_MAX; capability++) {
    if (libc().prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) === 0) continue;
    const errno = lastErrno();
    // One above the kernel's last capability.
    if (errno === ERRNO.EINVAL) return;
    throw failed(errno, { operation: "drop the capability bounding set", needs: "CAP_SETPCAP" });
  }
}

/**
 * Permanently disables the rule that execve(2) grants uid 0 all capabilities.
 *
 * @throws {VsockboxError} REFUSED without CAP_SETPCAP.
 */
export function lockSecurebits(): void {
  control(PR_SET_SECUREBITS, [SECUREBITS], { operation: "lock securebits", needs: "CAP_SETPCAP" });
}

/** Empties the effective, permitted, inheritable and ambient set. Needs no right. */
export function dropCapabilities(): void {
  const operation = "drop capabilities";
  control(PR_CAP_AMBIENT, [PR_CAP_AMBIENT_CLEAR_ALL], { operation });
  const thisThread = 0;
  const header = Uint32Array.of(CAPABILITY_VERSION_3, thisThread);
  const sets = new Uint32Array(6);
  if (libc().capset(ptr(header), ptr(sets)) < 0) throw failed(lastErrno(), { operation });
}

/**
 * Installs a filter for system calls; `program` is an array of struct sock_filter.
 *
 * @throws {VsockboxError} REFUSED without no-new-privs, UNAVAILABLE if the kernel has no filters.
 */
export function installSeccompFilter(program: Uint8Array): void {
  const header = filterHeader(program);
  control(PR_SET_SECCOMP, [SECCOMP_MODE_FILTER, BigInt(ptr(header))], INSTALL_FILTER);
}

const INSTALL_FILTER: Failure = {
  operation: "install the seccomp filter",
  needs: "no-new-privs or CAP_SYS_ADMIN",
  kernel: "CONFIG_SECCOMP_FILTER",
};

/** struct sock_fprog: a 16-bit length, padded to the pointer after it. */
function filterHeader(program: Uint8Array): BigUint64Array {
  const instructions = program.length / 8;
  return BigUint64Array.of(BigInt(instructions), BigInt(ptr(program)));
}

/** seccomp(2): its number, and SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_TSYNC. */
const SECCOMP_CALL = process.arch === "arm64" ? 277 : 317;
const SET_MODE_FILTER = 1;
const FILTER_FLAG_TSYNC = 1;

/**
 * Installs a filter in all threads of this process, those of the runtime among them.
 *
 * @throws {VsockboxError} as {@link installSeccompFilter}; UNAVAILABLE if a thread has another
 * filter already.
 */
export function filterAllThreads(program: Uint8Array): void {
  const header = filterHeader(program);
  const flags = FILTER_FLAG_TSYNC as Pointer;
  const address = BigInt(ptr(header));
  const result = Number(libc().syscall(SECCOMP_CALL, SET_MODE_FILTER, flags, address, 0n));
  if (result === 0) return;
  if (result < 0) throw failed(lastErrno(), INSTALL_FILTER);
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: INSTALL_FILTER.operation,
    message: `thread ${result} has a filter that the others have not`,
  });
}

/**
 * Moves this thread to new namespaces, but for those of processes and users.
 *
 * @param namespaces a sum of {@link Namespace}.
 * @throws {VsockboxError} REFUSED without CAP_SYS_ADMIN, UNAVAILABLE if the kernel does not have them.
 */
export function unshareNamespaces(namespaces: number): void {
  if (libc().unshare(namespaces) === 0) return;
  throw failed(lastErrno(), {
    operation: "make a namespace",
    needs: "CAP_SYS_ADMIN",
    kernel: "namespaces(7)",
  });
}

/**
 * Makes the mounts of this mount namespace private.
 *
 * @throws {VsockboxError} with the errno of mount(2).
 */
export function makeMountsPrivate(): void {
  const root = ptr(cString("/"));
  if (libc().mount(null, root, null, MS_REC | MS_PRIVATE, null) === 0) return;
  throw systemError(lastErrno(), {
    operation: "make mounts private",
    hint: "the agent's root must be a mount point; in a chroot: mount --bind DIR DIR before it",
  });
}

/**
 * Mounts the /proc of this process's PID namespace, in this mount namespace alone.
 *
 * @throws {VsockboxError} REFUSED, CONFIG or others, with the errno of mount(2).
 */
export function mountOwnProc(): void {
  makeMountsPrivate();
  const [type, path] = [cString("proc"), cString("/proc")];
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (libc().mount(ptr(type), ptr(path), ptr(type), flags, null) < 0) {
    throw systemError(lastErrno(), {
      operation: "mount",
      address: "/proc",
      code: "CONFIG",
      hint: "a PID namespace needs the directory /proc, and CAP_SYS_ADMIN to mount on it",
    });
  }
}

/** Makes the kernel kill this process when the thread that started it ends. */
export function dieWithParent(): void {
  control(PR_SET_PDEATHSIG, [SIGKILL], { operation: "tie the namespace to the agent" });
}

/** Disables core files of this process. */
export function leaveNoCore(): void {
  control(PR_SET_DUMPABLE, [0], { operation: "disable core files" });
}
