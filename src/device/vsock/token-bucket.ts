/**
 * A limit of bytes a second: a token bucket that may go into debt. Pure: times are passed in, and
 * nothing is allocated after the constructor.
 *
 * Whoever finds tokens may take any number of them, more than there are, too: a packet is passed on
 * whole, and the next one waits the longer. Over a long time the rate is kept exactly.
 */

/** Without a burst of its own a bucket holds what comes in so many milliseconds. */
const DEFAULT_BURST_MS = 100;

/** And no less than one packet of Linux's, in bytes, however low the rate is. */
const DEFAULT_BURST_BYTES = 64 * 1024;

/** Packets are not made smaller than this for want of tokens, in bytes. */
const SMALLEST_BYTES = 4096;

const MS_PER_SECOND = 1000;

/** Tokens, one a byte. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;

  /**
   * Full at first.
   *
   * @param rate bytes a second; undefined: no limit.
   * @param burst bytes that may be taken at once after a pause.
   * @param now in milliseconds, by the clock that later calls go by.
   */
  constructor(rate: number | undefined, burst: number | undefined, now: number) {
    this.#perMs = rate === undefined ? Infinity : rate / MS_PER_SECOND;
    this.#burst = burst ?? Math.max(this.#perMs * DEFAULT_BURST_MS, DEFAULT_BURST_BYTES);
    this.#tokens = this.#burst;
    this.#filledAt = now;
  }

  /** Puts in what has come since the last time. A clock that goes back gives nothing. */
  refill(now: number): void {
    if (this.#perMs === Infinity || now <= this.#filledAt) return;
    const filled = this.#tokens + (now - this.#filledAt) * this.#perMs;
    this.#tokens = Math.min(filled, this.#burst);
    this.#filledAt = now;
  }

  /** Whether something may be taken, as of the last {@link refill}. */
  get isOpen(): boolean {
    return this.#perMs === Infinity || this.#tokens > 0;
  }

  /**
   * How many bytes the next one should take at most, so that it stays a small debt: a whole number,
   * Infinity without a rate, and never less than {@link SMALLEST_BYTES}.
   */
  get allowance(): number {
    return this.#perMs === Infinity ? Infinity : Math.max(Math.floor(this.#tokens), SMALLEST_BYTES);
  }

  /** Takes tokens, be they there or not. */
  take(bytes: number): void {
    if (this.#perMs !== Infinity) this.#tokens -= bytes;
  }

  /** When it is open again, in milliseconds by the caller's clock; now or earlier where it is open. */
  get opensAt(): number {
    return this.isOpen ? this.#filledAt : this.#filledAt + (1 - this.#tokens) / this.#perMs;
  }
}
