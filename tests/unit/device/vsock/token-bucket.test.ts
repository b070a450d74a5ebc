import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TokenBucket } from "../../../../src/device/vsock/token-bucket.ts";

describe("a token bucket", () => {
  test("without a rate is always open", () => {
    const bucket = new TokenBucket(undefined, undefined, 0);
    bucket.consume(1e15);
    expect([bucket.isOpen, bucket.opensAt]).toEqual([true, 0]);
  });

  test("is full at first, goes into debt, and opens when that is paid", () => {
    const bucket = new TokenBucket(1000, 500, 0);
    bucket.consume(499);
    expect(bucket.isOpen).toBe(true);
    bucket.consume(1001);
    expect([bucket.isOpen, bucket.opensAt]).toEqual([false, 1001]);
    bucket.refill(1000);
    expect(bucket.isOpen).toBe(false);
    bucket.refill(bucket.opensAt);
    expect(bucket.isOpen).toBe(true);
  });

  test("has a burst of 100 ms of its rate if none is set, and of 64 KiB at least", () => {
    expect(new TokenBucket(10_000_000, undefined, 0).allowance).toBe(1_000_000);
    expect(new TokenBucket(1000, undefined, 0).allowance).toBe(65_536);
  });

  test("gets nothing from a clock that stands or goes back, and no more when it comes back", () => {
    const bucket = new TokenBucket(1000, 500_000, 1000);
    bucket.consume(500_000);
    for (const now of [1000, 500, 1000]) bucket.refill(now);
    expect([bucket.isOpen, bucket.opensAt]).toEqual([false, 1001]);
  });

  test("keeps its tokens when the clock goes back", () => {
    const bucket = new TokenBucket(1000, 500, 5000);
    bucket.refill(1000);
    expect([bucket.isOpen, bucket.opensAt]).toEqual([true, 5000]);
    bucket.consume(499);
    expect(bucket.isOpen).toBe(true);
  });

  test("holds no more than its burst, however long nothing was used", () => {
    const bucket = new TokenBucket(1000, 500, 0);
    bucket.refill(1e9);
    bucket.consume(500);
    expect(bucket.isOpen).toBe(false);
  });

  test("without a burst holds a tenth of a second, and at least one packet", () => {
    const fast = new TokenBucket(10_000_000, undefined, 0);
    fast.consume(999_999);
    expect(fast.isOpen).toBe(true);
    fast.consume(1);
    expect(fast.isOpen).toBe(false);
    const slow = new TokenBucket(1, undefined, 0);
    slow.consume(65_535);
    expect(slow.isOpen).toBe(true);
  });

  test("allows whole bytes: those it has, and a packet's worth if it has fewer", () => {
    const bucket = new TokenBucket(1_000_000, 10_000, 0);
    expect(bucket.allowance).toBe(10_000);
    bucket.consume(5000);
    bucket.refill(0.0005);
    expect(bucket.allowance).toBe(5000);
    bucket.consume(4999);
    expect(bucket.allowance).toBe(4096);
    expect(new TokenBucket(undefined, 10, 0).allowance).toBe(Infinity);
  });

  test("gains nothing from a clock that goes back", () => {
    const bucket = new TokenBucket(1000, 10, 5000);
    bucket.consume(10);
    bucket.refill(1000);
    bucket.refill(5000);
    expect(bucket.isOpen).toBe(false);
    bucket.refill(5001);
    expect(bucket.isOpen).toBe(true);
  });

  test("lets through what the rate allows, whatever the packets and the times of looking", () => {
    const rate = fc.integer({ min: 1000, max: 1e9 });
    const steps = fc.array(
      fc.record({
        wait: fc.double({ min: 0, max: 50, noNaN: true }),
        packet: fc.integer({ min: 1, max: 65_536 }),
      }),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(rate, fc.integer({ min: 1, max: 1e6 }), steps, (perSecond, burst, list) => {
        const bucket = new TokenBucket(perSecond, burst, 0);
        let [now, taken, last] = [0, 0, 0];
        for (const { wait, packet } of list) {
          now += wait;
          bucket.refill(now);
          if (!bucket.isOpen) continue;
          bucket.consume(packet);
          taken += packet;
          last = packet;
        }
        // One packet may go beyond.
        expect(taken - last).toBeLessThanOrEqual(burst + (now * perSecond) / 1000 + 1);
      }),
    );
  });

  test("allows the whole rate to a user who asks whenever it opens", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1000, max: 1e9 }),
        fc.integer({ min: 1, max: 65_536 }),
        (rate, packet) => {
          const bucket = new TokenBucket(rate, 1e6, 0);
          let [now, taken] = [0, 0];
          for (let count = 0; count < 500; count++) {
            now = Math.max(now, bucket.opensAt);
            bucket.refill(now);
            expect(bucket.isOpen).toBe(true);
            bucket.consume(packet);
            taken += packet;
          }
          const allowed = 1e6 + (now * rate) / 1000;
          expect(Math.abs(taken - allowed)).toBeLessThanOrEqual(now === 0 ? 1e6 : packet + 2);
        },
      ),
    );
  });
});
