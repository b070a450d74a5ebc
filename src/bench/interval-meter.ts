/** Intervals of a running test, put together from its samples. */
import type { BenchSample } from "./plan.ts";

/** Calls back once for each interval that has passed. */
export class IntervalMeter {
  readonly #intervalMs: number;
  readonly #onInterval: (before: BenchSample, after: BenchSample) => void;
  #before: BenchSample = { atMs: 0, toServerBytes: 0, fromServerBytes: 0, operations: 0 };

  /** @param intervalMs 0: never. */
  constructor(intervalMs: number, onInterval: (before: BenchSample, after: BenchSample) => void) {
    this.#intervalMs = intervalMs;
    this.#onInterval = onInterval;
  }

  /** Adds the next sample. */
  add(sample: BenchSample): void {
    if (this.#intervalMs === 0 || sample.atMs - this.#before.atMs < this.#intervalMs) return;
    this.#onInterval(this.#before, sample);
    this.#before = sample;
  }
}
