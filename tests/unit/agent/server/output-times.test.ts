import { describe, expect, test } from "bun:test";
import { OutputTimes } from "../../../../src/agent/server/output-times.ts";

describe("OutputTimes", () => {
  test("returns the time of a byte, and where the next one begins", () => {
    const times = new OutputTimes(5, 1000);
    times.add(8, 2000);
    times.add(20, 3000);
    expect(times.at(5)).toEqual({ timeMs: 1000, endOffset: 8 });
    expect(times.at(7)).toEqual({ timeMs: 1000, endOffset: 8 });
    expect(times.at(8)).toEqual({ timeMs: 2000, endOffset: 20 });
    expect(times.at(99)).toEqual({ timeMs: 3000, endOffset: Infinity });
  });

  test("keeps times that differ by less than 10 ms as one", () => {
    const times = new OutputTimes(0, 1000);
    times.add(1, 1009);
    expect([times.heldBytes, times.at(1).timeMs]).toEqual([0, 1000]);
    times.add(2, 1010);
    expect([times.heldBytes, times.at(2).timeMs]).toEqual([16, 1010]);
  });

  test("follows a clock that was set back", () => {
    const times = new OutputTimes(0, 1000);
    times.add(1, 999);
    expect(times.at(1).timeMs).toBe(999);
  });

  test("finds the first byte since a time", () => {
    const times = new OutputTimes(5, 1000);
    times.add(8, 2000);
    expect(times.firstSince(0)).toBe(5);
    expect(times.firstSince(1000)).toBe(5);
    expect(times.firstSince(1001)).toBe(8);
    expect(times.firstSince(2001)).toBeUndefined();
  });

  test("of many writes holds at most 3840 bytes, with times of earlier ones in between", () => {
    const times = new OutputTimes(0, 0);
    for (let index = 1; index <= 240; index++) times.add(index, index * 100);
    expect([times.heldBytes, times.at(239).timeMs]).toEqual([3840, 23_900]);
    times.add(241, 24_100);
    expect([times.at(0), times.at(1).timeMs, times.at(238).timeMs]).toEqual([
      { timeMs: 0, endOffset: 2 },
      0,
      23_800,
    ]);
    expect(times.at(241).timeMs).toBe(24_100);
    for (let index = 242; index <= 4096; index++) times.add(index, index * 100);
    expect(times.heldBytes).toBeLessThanOrEqual(3840);
    expect(times.at(4096).timeMs).toBe(409_600);
  });

  test("drops the times of dropped bytes", () => {
    const times = new OutputTimes(5, 1000);
    times.add(8, 2000);
    times.add(20, 3000);
    times.dropBefore(4);
    expect(times.heldBytes).toBe(32);
    times.dropBefore(19);
    expect([times.heldBytes, times.at(19).timeMs, times.firstSince(0)]).toEqual([16, 2000, 8]);
    times.dropBefore(20);
    expect([times.heldBytes, times.at(20).timeMs]).toEqual([0, 3000]);
  });
});
