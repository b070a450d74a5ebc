/**
 * Signals that no part of a service waits for, and whose default action would end it without cleanup:
 * signal(7). A service ignores them; children are started with the default actions again.
 */
import { constants } from "node:os";
import { ignoreSignal } from "../../ffi/child-process.ts";
import { hasSignal, ownSignalMask } from "../signal-masks.ts";

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

/** The first real-time signal that the C library does not use itself, and the last one. */
const FIRST_REAL_TIME = 35;
const LAST_REAL_TIME = 64;

/**
 * Faults. Other processes can send them as well: a service then ends with a core file, as a user who sends
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
  const unhandled = [...TERMINATING, ...realTime].filter((signal) => !hasSignal(caught, signal));
  return isInit ? [...unhandled, ...FAULTS] : unhandled;
}

/** Ignores the signals of {@link straySignals} from now on; those that have a handler keep it. */
export function ignoreStraySignals(): void {
  const caught = ownSignalMask("SigCgt");
  // Without /proc it is unknown which signals the runtime itself uses.
  if (caught === undefined) return;
  for (const signal of straySignals(caught, process.pid === 1)) ignoreSignal(signal);
}
