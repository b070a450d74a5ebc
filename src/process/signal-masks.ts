/** The signal masks of this process in /proc/self/status, proc(5). */
import { readFileSync } from "node:fs";

/** A line of /proc/PID/status: signals with a handler, or ignored ones. */
export type SignalMaskName = "SigCgt" | "SigIgn";

/**
 * Returns a mask of a /proc/PID/status text, 0 if it has no such line. Bit N - 1 is signal N.
 */
export function parseSignalMask(status: string, name: SignalMaskName): bigint {
  const match = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status);
  return match?.[1] === undefined ? 0n : BigInt(`0x${match[1]}`);
}

/** Returns a mask of this process; undefined without /proc. */
export function ownSignalMask(name: SignalMaskName): bigint | undefined {
  try {
    return parseSignalMask(readFileSync("/proc/self/status", "utf8"), name);
  } catch {
    return undefined;
  }
}

/** Returns whether a mask has a signal, by its number. */
export function hasSignal(mask: bigint, signal: number): boolean {
  return ((mask >> BigInt(signal - 1)) & 1n) !== 0n;
}
