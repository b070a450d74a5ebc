/** The end of a child as an exit status. */
import { constants } from "node:os";

/** A shell's status for a command that a signal ended is this plus the signal's number. */
export const SIGNAL_STATUS_BASE = 128;
/** A command whose reader has closed the pipe has the status of SIGPIPE, as shells have it. */
export const STATUS_BROKEN_PIPE = SIGNAL_STATUS_BASE + constants.signals.SIGPIPE;
/** timeout(1)'s status for a command that ran out of time. */
export const STATUS_TIMED_OUT = 124;

/** How a child ended. */
export interface ExitStatus {
  /** The command's own status, or 128 + N for signal N. */
  code: number;
  /** The signal's name, such as SIGKILL, if one ended it. */
  signal: string | undefined;
}

/** The signal's number; undefined for a name that this system does not know. */
export function signalNumber(name: string): number | undefined {
  return Object.entries(constants.signals).find(([known]) => known === name)?.[1];
}

/** The signal's name, such as SIGKILL; undefined for a number without one. */
export function signalName(signal: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
}

/** Converts the runtime's report of an ended child. */
export function exitStatus(exitCode: number | null, signal: string | number | null): ExitStatus {
  if (signal !== null) {
    const number = typeof signal === "number" ? signal : (signalNumber(signal) ?? 0);
    return { code: SIGNAL_STATUS_BASE + number, signal: signalName(number) ?? String(signal) };
  }
  return { code: exitCode ?? 0, signal: undefined };
}
