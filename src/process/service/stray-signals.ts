/**
 * Signals that no part of a service waits for, and whose default action would end it without cleanup:
 * signal(7). A service ignores them; children are started with the default actions again.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { ignoreSignal } from "../../ffi/child-process.ts";

const { signals } = constants;

/** Default action: terminate, or a core file for exceeded limits, which a write reports as EFBIG. */
const TERMINATING: readonly number[] = [
  signals.SIGUSR1,
  signals.SIGUSR2,
  signals.SIGALRM,
  signals.SIGVTALRM,
  signals.SIGPROF,
  signals.SIGIO,
  signals.SIGPWR,
  signals.SIGSTKFLT,
  signals.SIGXCPU,
  signals.SIGXFSZ,
];

/** The first real-time signal that the C library leaves to programs, and the last one. */
const FIRST_REAL_TIME = 35;
const LAST_REAL_TIME = 64;

/**
 * Faults. Other processes can send them as well: a service then ends with a core file, as whoever sends
 * them wants, but the end of process 1 is a kernel panic. A real fault ends a process that ignores it
 * all the same.
 */
const FAULTS: readonly number[] = [
  signals.SIGQUIT,
  signals.SIGILL,
  signals.SIGTRAP,
  signals.SIGABRT,
  signals.SIGBUS,
  signals.SIGFPE,
  signals.SIGSEGV,
  signals.SIGSYS,
];

/**
 * Returns the numbers of the signals to ignore.
 *
 * @param caught signals with a handler, as a bit mask: bit N - 1 is signal N.
 * @param isInit whether this is process 1.
 */
export function straySignals(caught: bigint, isInit: boolean): number[] {
  const realTime = Array.from(
    { length: LAST_REAL_TIME - FIRST_REAL_TIME + 1 },
    (_, index) => FIRST_REAL_TIME + index,
  );
  const unhandled = [...TERMINATING, ...realTime].filter(
    (signal) => ((caught >> BigInt(signal - 1)) & 1n) === 0n,
  );
  return isInit ? [...unhandled, ...FAULTS] : unhandled;
}

/** Returns the caught signals of a /proc/PID/status text, proc(5); none if it has no such line. */
export function parseCaughtSignals(status: string): bigint {
  const match = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status);
  return match?.[1] === undefined ? 0n : BigInt(`0x${match[1]}`);
}

/** Ignores the signals of {@link straySignals} from now on; those that have a handler keep it. */
export function ignoreStraySignals(): void {
  let status: string;
  try {
    status = readFileSync("/proc/self/status", "utf8");
  } catch {
    // Without /proc it is unknown which signals the runtime itself uses.
    return;
  }
  const isInit = process.pid === 1;
  for (const signal of straySignals(parseCaughtSignals(status), isInit)) ignoreSignal(signal);
}
