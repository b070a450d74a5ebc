/**
 * A rate limit in bytes per second: a token bucket that may go into debt. Pure: times are passed in, and
 * nothing is allocated after the constructor.
 *
 * While there are tokens, any number of them may be consumed, even more than there are: a packet is
 * passed on whole, and the next one waits longer. Over a long time the rate is exact.
 */

/** Default burst: the bytes of so many milliseconds. */
const DEFAULT_BURST_MS = 100;

/** Minimum of the default burst in bytes: one packet of Linux, however low the rate is. */
const DEFAULT_BURST_BYTES = 64 * 1024;

/** Packets are not cut below this size for lack of tokens, in bytes. */
const SMALLEST_BYTES = 4096;

const MS_PER_SECOND = 1000;

/** A bucket with one token per byte. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;

  /**
   * Starts full.
   *
   * @param rate bytes per second; undefined: no limit.
   * @param burst capacity in bytes: what may be consumed at once after a pause.
   * @param now in milliseconds, by the clock of all later calls.
   */
  constructor(rate: number | undefined, burst: number | undefined, now: number) {
    this.#perMs = rate === undefined ? Infinity : rate / MS_PER_SECOND;
    this.#burst = burst ?? Math.max(this.#perMs * DEFAULT_BURST_MS, DEFAULT_BURST_BYTES);
    this.#tokens = this.#burst;
    this.#filledAt = now;
  }

  /** Adds the tokens of the time that has passed. A clock that goes back adds none. */
  refill(now: number): void {
    if (this.#perMs === Infinity || now <= this.#filledAt) return;
    const filled = this.#tokens + (now - this.#filledAt) * this.#perMs;
    this.#tokens = Math.min(filled, this.#burst);
    this.#filledAt = now;
  }

  /** Whether there are tokens, as of the last {@link refill}. */
  get isOpen(): boolean {
    return this.#perMs === Infinity || this.#tokens > 0;
  }

  /**
   * Limit of the next packet in bytes, which keeps the debt small: a whole number, Infinity without a
   * rate, and never less than {@link SMALLEST_BYTES}.
   */
  get allowance(): number {
    return this.#perMs === Infinity ? Infinity : Math.max(Math.floor(this.#tokens), SMALLEST_BYTES);
  }

  /** Removes tokens, even more than there are. */
  consume(bytes: number): void {
    if (this.#perMs !== Infinity) this.#tokens -= bytes;
  }

  /** Time at which {@link isOpen} is true, in milliseconds; not after the last refill if it is open. */
  get opensAt(): number {
    return this.isOpen ? this.#filledAt : this.#filledAt + (1 - this.#tokens) / this.#perMs;
  }
}
