/** Rate limits of a VM, one for each direction. */
import { TokenBucket } from "./token-bucket.ts";

/** Options of {@link RateLimits}. */
export interface RateLimitOptions {
  /** Bytes of payload per second; undefined: no limit. */
  rateToGuest?: number | undefined;
  rateFromGuest?: number | undefined;
  /** Bytes that may follow each other at once after a pause, in each direction. */
  burst?: number | undefined;
}

/** The token buckets of both directions. */
export class RateLimits {
  readonly toGuest: TokenBucket;
  readonly fromGuest: TokenBucket;

  /** @param now in milliseconds, by the clock of {@link refill}. */
  constructor({ rateToGuest, rateFromGuest, burst }: RateLimitOptions, now: number) {
    this.toGuest = new TokenBucket(rateToGuest, burst, now);
    this.fromGuest = new TokenBucket(rateFromGuest, burst, now);
  }

  /** Adds the tokens of the time that has passed; called in every round. */
  refill(now: number): void {
    this.toGuest.refill(now);
    this.fromGuest.refill(now);
  }
}
