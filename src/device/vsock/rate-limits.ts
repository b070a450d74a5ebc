/** How fast a VM may be, either way. */
import { TokenBucket } from "./token-bucket.ts";

/** Limits of one VM. */
export interface RateLimitOptions {
  /** Bytes of payload a second; undefined: no limit. */
  rateToGuest?: number | undefined;
  rateFromGuest?: number | undefined;
  /** Bytes that may come at once after a pause, either way. */
  burst?: number | undefined;
}

/** The buckets of both ways. */
export class RateLimits {
  readonly toGuest: TokenBucket;
  readonly fromGuest: TokenBucket;

  /** @param now in milliseconds, by the clock that {@link refill} goes by. */
  constructor({ rateToGuest, rateFromGuest, burst }: RateLimitOptions, now: number) {
    this.toGuest = new TokenBucket(rateToGuest, burst, now);
    this.fromGuest = new TokenBucket(rateFromGuest, burst, now);
  }

  /** Once a round. */
  refill(now: number): void {
    this.toGuest.refill(now);
    this.fromGuest.refill(now);
  }
}
