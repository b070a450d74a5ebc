import { describe, expect, test } from "bun:test";
import { Histogram } from "../../../src/bench/histogram.ts";

function histogramOf(values: Iterable<number>): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe("a histogram", () => {
  test("of nothing has zeros", () => {
    const { count, minNs, maxNs, meanNs } = new Histogram();
    expect([count, minNs, maxNs, meanNs]).toEqual([0, 0, 0, 0]);
    expect(new Histogram().percentileNs(0.5)).toBe(0);
    expect(new Histogram().buckets()).toEqual([]);
  });

  test("counts short durations exactly", () => {
    const histogram = histogramOf([0, 1, 1, 127]);
    expect(histogram.buckets()).toEqual([
      { upperNs: 0, count: 1 },
      { upperNs: 1, count: 2 },
      { upperNs: 127, count: 1 },
    ]);
    expect(histogram.meanNs).toBe(129 / 4);
  });

  test("puts each duration into a bucket that ends at most 1/64 later", () => {
    for (let exponent = 0; exponent < 40; exponent++) {
      for (const value of [2 ** exponent, 2 ** exponent + 1, 2 ** (exponent + 1) - 1]) {
        const [bucket] = histogramOf([value]).buckets();
        const upper = bucket?.upperNs ?? -1;
        expect(upper).toBeGreaterThanOrEqual(value);
        expect(upper).toBeLessThanOrEqual(value + value / 64);
      }
    }
  });

  test("has buckets that touch and do not overlap", () => {
    const values = Array.from({ length: 5000 }, (_, index) => index);
    const buckets = histogramOf(values).buckets();
    let next = 0;
    for (const { upperNs, count } of buckets) {
      const own = values.slice(next, Math.min(upperNs, 4999) + 1);
      expect(count).toBe(own.length);
      next = upperNs + 1;
    }
    expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(5000);
  });

  test("finds percentiles: the duration that so many do not exceed", () => {
    const histogram = histogramOf(Array.from({ length: 100 }, (_, index) => index + 1));
    expect(histogram.percentileNs(0)).toBe(1);
    expect(histogram.percentileNs(0.5)).toBe(50);
    expect(histogram.percentileNs(0.501)).toBe(51);
    expect(histogram.percentileNs(0.99)).toBe(99);
    expect(histogram.percentileNs(1)).toBe(100);
  });

  test("returns no percentile above the longest duration", () => {
    expect(histogramOf([1_000_001]).percentileNs(0.999)).toBe(1_000_001);
  });

  test("has the shortest and longest exactly, whatever their bucket", () => {
    const histogram = histogramOf([1_000_003, 5_000_007, 2_000_000]);
    expect([histogram.minNs, histogram.maxNs, histogram.count]).toEqual([1_000_003, 5_000_007, 3]);
  });

  test("rounds, and bounds what it is given", () => {
    const histogram = histogramOf([-5, 1.4, 2 ** 50]);
    expect([histogram.minNs, histogram.maxNs]).toEqual([0, 2 ** 40 - 1]);
    expect(histogram.buckets().map(({ count }) => count)).toEqual([1, 1, 1]);
  });
});
