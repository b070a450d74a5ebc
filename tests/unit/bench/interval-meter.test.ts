import { expect, test } from "bun:test";
import { IntervalMeter } from "../../../src/bench/interval-meter.ts";

const sample = (atMs: number) => ({
  atMs,
  toServerBytes: atMs * 10,
  fromServerBytes: 0,
  operations: 0,
});

function intervals(intervalMs: number, times: readonly number[]): [number, number][] {
  const seen: [number, number][] = [];
  const meter = new IntervalMeter(intervalMs, (before, after) => {
    expect(after.toServerBytes - before.toServerBytes).toBe(10 * (after.atMs - before.atMs));
    seen.push([before.atMs, after.atMs]);
  });
  for (const time of times) meter.add(sample(time));
  return seen;
}

test("an interval ends with the first sample that is at least so much later", () => {
  expect(intervals(1000, [100, 999, 1000, 1100, 1999, 2050, 2500, 3050])).toEqual([
    [0, 1000],
    [1000, 2050],
    [2050, 3050],
  ]);
});

test("without an interval there are none", () => {
  expect(intervals(0, [100, 5000])).toEqual([]);
});
