/** Intervals of a running test, put together from its samples. */
import type { Sample } from "./plan.ts";

/** Calls back once for each interval that has passed. */
export class IntervalMeter {
  readonly #intervalMs: number;
  readonly #onInterval: (before: Sample, after: Sample) => void;
  #before: Sample = { atMs: 0, toServerBytes: 0, fromServerBytes: 0, operations: 0 };

  /** @param intervalMs 0: never. */
  constructor(intervalMs: number, onInterval: (before: Sample, after: Sample) => void) {
    this.#intervalMs = intervalMs;
    this.#onInterval = onInterval;
  }

  /** Adds the next sample. */
  add(sample: Sample): void {
    if (this.#intervalMs === 0 || sample.atMs - this.#before.atMs < this.#intervalMs) return;
    this.#onInterval(this.#before, sample);
    this.#before = sample;
  }
}
