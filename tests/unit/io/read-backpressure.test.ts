import { describe, expect, test } from "bun:test";
import { READ_HIGH_WATER_BYTES, ReadBackpressure } from "../../../src/io/read-backpressure.ts";
import { eventually } from "../../support/eventually.ts";

function makeBackpressure() {
  const calls: string[] = [];
  const state = { hasHungUp: false, hangups: 0 };
  const backpressure = new ReadBackpressure(
    {
      pause: () => void calls.push("pause"),
      resume: () => void calls.push("resume"),
      hasHungUp: () => state.hasHungUp,
    },
    () => void state.hangups++,
  );
  return { backpressure, calls, state };
}

describe("ReadBackpressure", () => {
  test("pauses above 1 MiB of unread bytes, once, and resumes at half of that", () => {
    const { backpressure, calls } = makeBackpressure();
    expect(READ_HIGH_WATER_BYTES).toBe(1024 * 1024);
    backpressure.onReceived(READ_HIGH_WATER_BYTES);
    backpressure.onRead(0);
    expect(calls).toEqual([]);
    expect(backpressure.isPaused).toBe(false);
    backpressure.onReceived(READ_HIGH_WATER_BYTES + 1);
    backpressure.onReceived(READ_HIGH_WATER_BYTES + 2);
    expect(calls).toEqual(["pause"]);
    expect(backpressure.isPaused).toBe(true);
    backpressure.onRead(READ_HIGH_WATER_BYTES / 2 + 1);
    expect(calls).toEqual(["pause"]);
    backpressure.onRead(READ_HIGH_WATER_BYTES / 2);
    expect(calls).toEqual(["pause", "resume"]);
    expect(backpressure.isPaused).toBe(false);
    backpressure.close();
  });

  test("a closed socket is not resumed", () => {
    const { backpressure, calls } = makeBackpressure();
    backpressure.onReceived(READ_HIGH_WATER_BYTES + 1);
    backpressure.close();
    backpressure.onRead(0);
    expect(calls).toEqual(["pause"]);
    expect(backpressure.isPaused).toBe(false);
  });

  test("reports the close of the peer of a paused socket", async () => {
    const { backpressure, state } = makeBackpressure();
    backpressure.onReceived(READ_HIGH_WATER_BYTES + 1);
    state.hasHungUp = true;
    await eventually("the close is reported", () => state.hangups > 0);
    backpressure.close();
  });
});
