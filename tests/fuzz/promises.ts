/** What every session of the device's fuzzer is held to. */
import { VsockboxError } from "../../src/errors.ts";
import type { Random } from "./random.ts";

/** A promise that was broken. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/** Something that is fuzzed. */
export interface VhostTarget {
  name: string;
  /**
   * Plays one session. Gives how many steps it had and how many of them were refused; throws where a
   * promise is broken.
   */
  run(random: Random): { steps: number; refused: number };
}

/** @throws {BrokenPromise} unless it is kept. */
export function promise(isKept: boolean, text: string): void {
  if (!isKept) throw new BrokenPromise(text);
}

/** Whether it went through; false where it was refused in the way that bad data is. */
export function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "BAD_DATA") return false;
    throw thrown;
  }
}

const EDGES = [0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 1023, 4095, 4096, 65_535, 65_536];
const HUGE = [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 47, 2 ** 53 - 4096, 2 ** 53 - 1, 2 ** 60];

/** A number at which something may go wrong. */
export function edge(random: Random): number {
  const kind = random.below(10);
  if (kind < 6) return random.pick(EDGES);
  return kind < 8 ? random.next() : random.pick(HUGE);
}
