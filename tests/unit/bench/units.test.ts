import { expect, test } from "bun:test";
import {
  formatAmount,
  formatCpu,
  formatGigabits,
  formatLatency,
  formatMegabytes,
  formatRate,
  formatSeconds,
  perSecond,
} from "../../../src/bench/units.ts";

test("rates are decimal", () => {
  expect(formatMegabytes(1_063_249_000)).toBe("1063.2 MB/s");
  expect(formatGigabits(1_063_249_000)).toBe("8.51 Gbit/s");
  expect(formatRate(23_021.5)).toBe("23022/s");
});

test("amounts have the largest unit that leaves at least 1", () => {
  expect([0, 999, 1000, 999_999, 1e6, 2.134e9, 5e12, 7e15].map(formatAmount)).toEqual([
    ...["0 B", "999 B", "1.00 kB", "1000.00 kB"],
    ...["1.00 MB", "2.13 GB", "5.00 TB", "7000.00 TB"],
  ]);
});

test("latencies are microseconds, milliseconds or seconds", () => {
  expect([41_249, 999_999, 1_000_000, 1_250_000, 2e9].map(formatLatency)).toEqual([
    ...["41.2 µs", "1000.0 µs", "1.00 ms", "1.25 ms", "2.00 s"],
  ]);
});

test("processor time is a part of one processor, and of no time nothing", () => {
  expect(formatCpu(1500, 2000)).toBe("75 %");
  expect(formatCpu(10, 0)).toBe("");
  expect(formatSeconds(1960)).toBe("2.0 s");
});

test("a number a second", () => {
  expect(perSecond(300, 2000)).toBe(150);
  expect(perSecond(300, 0)).toBe(0);
  expect(perSecond(3, 0.5)).toBe(6000);
});
