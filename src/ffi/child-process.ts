/**
 * A child without the runtime: posix_spawn(3), waitpid(2), and an end by _exit(2) or a signal. For a
 * process whose only task left is to wait for its child.
 */
import { constants } from "node:os";
import { SIGNAL_MAX } from "./credentials.ts";
import { ERRNO, systemError } from "./errno.ts";
import { cString, cStringVector, IGNORE_SIGNAL, lastErrno, libc, ptr } from "./libc.ts";
import { leaveNoCore } from "./sandbox.ts";
import { closeDescriptor } from "./socket.ts";

const { SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU } = constants.signals;

/** Signals by which a terminal stops a process group. */
const TERMINAL_STOPS: ReadonlySet<number> = new Set([SIGTSTP, SIGTTIN, SIGTTOU]);

const F_SETFD = 2;
const FD_CLOEXEC = 1;

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
/** More than posix_spawnattr_t has in glibc and in musl, which is 336 bytes in both. */
const SPAWN_ATTRIBUTES_BYTES = 512;

const WUNTRACED = 2;
/** The low byte of the wait status of a stopped child. */
const STOPPED = 0x7f;

const SIG_SETMASK = 2;
/** sigset_t is 128 bytes in glibc and in musl, of which the kernel knows the first 64 bits. */
const SIGNAL_SET_WORDS = 16;

const bitOf = (signal: number) => 1n << BigInt(signal - 1);

function signalSet(signals: bigint): BigUint64Array {
  const set = new BigUint64Array(SIGNAL_SET_WORDS);
  set[0] = signals;
  return set;
}

/** What to start, for {@link prepareChild}. */
export interface ChildRequest {
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  /** Whether the child begins with the signals blocked that are blocked here; otherwise none is. */
  keepsBlockedSignals: boolean;
}

/**
 * Prepares a start and returns the function that performs it: it starts a program in this process's
 * group and session, with its descriptors and every signal at its default action, and returns the pid.
 * It allocates nothing, so that the runtime does not start a thread; it throws CONFIG with the errno.
 */
export function prepareChild({ argv, env, keepsBlockedSignals }: ChildRequest): () => number {
  const words = cStringVector(argv);
  const settings = cStringVector(Object.entries(env).map(([name, value]) => `${name}=${value}`));
  const path = cString(argv[0]);
  const attributes = new Uint8Array(SPAWN_ATTRIBUTES_BYTES);
  const [all, none] = [signalSet((1n << BigInt(SIGNAL_MAX)) - 1n), signalSet(0n)];
  const pid = new Int32Array(1);
  const { posix_spawn, ...symbols } = libc();
  symbols.posix_spawnattr_init(ptr(attributes));
  symbols.posix_spawnattr_setsigdefault(ptr(attributes), ptr(all));
  symbols.posix_spawnattr_setsigmask(ptr(attributes), ptr(none));
  symbols.posix_spawnattr_setflags(
    ptr(attributes),
    POSIX_SPAWN_SETSIGDEF | (keepsBlockedSignals ? 0 : POSIX_SPAWN_SETSIGMASK),
  );
  return () => {
    const errno = posix_spawn(
      ptr(pid),
      ptr(path),
      null,
      ptr(attributes),
      ptr(words.vector),
      ptr(settings.vector),
    );
    // The vectors point into these; they must not be collected before.
    if (errno === 0 && words.strings.length + settings.strings.length > 0) return pid[0] ?? 0;
    throw systemError(errno, { operation: "start", address: argv[0], code: "CONFIG" });
  };
}

/** Keeps a descriptor open in the programs started from now on, or closes it in them. */
export function setInherited(fd: number, inherited: boolean): void {
  libc().fcntl(fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/** Ignores every signal that can be ignored, but for the end of a child. */
export function ignoreSignals(): void {
  for (let signal = 1; signal <= SIGNAL_MAX; signal++) {
    if (signal !== SIGCHLD) libc().signal(signal, IGNORE_SIGNAL);
  }
}

/** Ignores a signal, by its number, from now on. */
export function ignoreSignal(signal: number): void {
  libc().signal(signal, IGNORE_SIGNAL);
}

/** Blocks these signals, and no others, for this thread and for children that keep them blocked. */
export function setBlockedSignals(signals: readonly number[]): void {
  const bits = signals.reduce((sum, signal) => sum | bitOf(signal), 0n);
  libc().pthread_sigmask(SIG_SETMASK, ptr(signalSet(bits)), null);
}

/** Those of the signals that came while they were blocked. */
export function waitingSignals(signals: readonly number[]): number[] {
  const set = signalSet(0n);
  libc().sigpending(ptr(set));
  return signals.filter((signal) => ((set[0] ?? 0n) & bitOf(signal)) !== 0n);
}

/** kill(2), to a process that is known to exist. */
export function sendSignal(pid: number, signal: number): void {
  libc().kill(pid, signal);
}

/** Closes standard input, output and error, so that their other ends depend on the command's alone. */
export function closeStandardStreams(): void {
  for (const fd of [0, 1, 2]) closeDescriptor(fd);
}

/**
 * Blocks until the child has ended, and returns its wait status. Other children that end meanwhile,
 * which PID 1 inherits, are reaped. If the terminal stops the child, it is continued: no shell would
 * continue it, and the kernel does not stop an orphaned process group.
 */
export function waitForChild(pid: number): number {
  const anyChild = -1;
  const cell = new Int32Array(1);
  for (;;) {
    const changed = libc().waitpid(anyChild, ptr(cell), WUNTRACED);
    const errno = changed < 0 ? lastErrno() : 0;
    if (errno === ERRNO.EINTR) continue;
    if (errno !== 0) throw systemError(errno, { operation: "wait for the command" });
    const [status = 0] = cell;
    const stoppedBy = (status & 0xff) === STOPPED ? status >> 8 : undefined;
    if (changed !== pid) continue;
    if (stoppedBy === undefined) return status;
    if (TERMINAL_STOPS.has(stoppedBy)) libc().kill(-pid, SIGCONT);
  }
}

/** Ends this process at once with the exit status or signal of a wait status. */
export function endAs(waitStatus: number): never {
  const signal = waitStatus & 0x7f;
  if (signal !== 0) {
    leaveNoCore();
    const defaultAction = null;
    libc().signal(signal, defaultAction);
    setBlockedSignals([]);
    libc().kill(process.pid, signal);
  }
  libc()._exit(signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal);
  throw new Error("_exit returned");
}
