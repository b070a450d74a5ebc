/**
 * A histogram of durations with a bounded relative error, as HdrHistogram has it: buckets are one
 * nanosecond wide below 128 ns, and after that each power of two is divided into 64 buckets, so that a
 * value is at most 1/64 larger than it was.
 */

/** Buckets of each power of two. */
const SUB_BUCKETS = 64;

/** Longer durations are counted as this long: 2^40 ns, 18 minutes. */
const MAX_NS = 2 ** 40 - 1;

const BUCKETS = indexOf(MAX_NS) + 1;

/** A bucket with at least one value. */
export interface Bucket {
  /** The longest duration in it, in nanoseconds. */
  upperNs: number;
  count: number;
}

/** Returns the bucket of a whole number of nanoseconds. */
function indexOf(ns: number): number {
  const exponent = ns < 2 * SUB_BUCKETS ? 0 : Math.floor(Math.log2(ns)) - Math.log2(SUB_BUCKETS);
  return exponent * SUB_BUCKETS + Math.floor(ns / 2 ** exponent);
}

function upperOf(index: number): number {
  const exponent = Math.max(0, Math.floor(index / SUB_BUCKETS) - 1);
  return (index - exponent * SUB_BUCKETS + 1) * 2 ** exponent - 1;
}

/** Counts of durations, in nanoseconds. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sumNs = 0;
  #minNs = Infinity;
  #maxNs = 0;

  /** Adds a duration; a negative one counts as 0. */
  record(ns: number): void {
    const value = Math.min(MAX_NS, Math.max(0, Math.round(ns)));
    const index = indexOf(value);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count++;
    this.#sumNs += value;
    if (value < this.#minNs) this.#minNs = value;
    if (value > this.#maxNs) this.#maxNs = value;
  }

  /** The number of durations. */
  get count(): number {
    return this.#count;
  }

  /** The shortest one, exactly; 0 of none. */
  get minNs(): number {
    return this.#count === 0 ? 0 : this.#minNs;
  }

  /** The longest one, exactly; 0 of none. */
  get maxNs(): number {
    return this.#maxNs;
  }

  /** The arithmetic mean; 0 of none. */
  get meanNs(): number {
    return this.#count === 0 ? 0 : this.#sumNs / this.#count;
  }

  /**
   * Returns the duration that a part of all does not exceed, at most 1/64 too long; 0 of none.
   *
   * @param part from 0 to 1.
   */
  percentileNs(part: number): number {
    const rank = Math.max(1, Math.ceil(part * this.#count));
    let seen = 0;
    for (const { upperNs, count } of this.buckets()) {
      seen += count;
      if (seen >= rank) return Math.min(upperNs, this.#maxNs);
    }
    return this.#maxNs;
  }

  /** Returns the buckets that have values, the shortest durations first. */
  buckets(): Bucket[] {
    const found: Bucket[] = [];
    for (let index = 0; index < BUCKETS; index++) {
      const count = this.#counts[index] ?? 0;
      if (count > 0) found.push({ upperNs: upperOf(index), count });
    }
    return found;
  }
}
