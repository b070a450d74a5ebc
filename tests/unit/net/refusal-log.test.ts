/** What is kept and written about refused peers, however many there are. */
import { describe, expect, test } from "bun:test";
import { MAX_COUNTED, RefusalLog } from "../../../src/net/refusal-log.ts";
import { MAX_REFUSED_OPEN, RefusedPool } from "../../../src/net/refused-pool.ts";

describe("the log of refusals", () => {
  function log() {
    const lines: string[] = [];
    return { lines, refusals: new RefusalLog((line) => void lines.push(line)) };
  }

  test("has the first of a kind at once, and the number of the others once", () => {
    const { lines, refusals } = log();
    for (let count = 0; count < 1000; count++) refusals.note("vsock:1", "not in --allow-cid");
    expect(lines).toEqual(["vsock:1: refused, not in --allow-cid"]);
    refusals.flush();
    expect(lines.slice(1)).toEqual(["vsock:1: refused 999 more, not in --allow-cid"]);
    refusals.flush();
    expect(lines).toHaveLength(2);
  });

  test("keeps peers and reasons apart", () => {
    const { lines, refusals } = log();
    refusals.note("vsock:1", "a");
    refusals.note("vsock:3", "a");
    refusals.note("vsock:3", "b");
    expect(lines).toEqual(["vsock:1: refused, a", "vsock:3: refused, a", "vsock:3: refused, b"]);
  });

  test("begins anew with a peer that stayed quiet", () => {
    const { lines, refusals } = log();
    refusals.note("vsock:1", "a");
    refusals.flush();
    refusals.note("vsock:1", "a");
    expect(lines).toEqual(["vsock:1: refused, a", "vsock:1: refused, a"]);
    refusals.flush();
  });

  test("counts a flood of different peers together", () => {
    const { lines, refusals } = log();
    for (let cid = 0; cid < 10_000; cid++) refusals.note(`vsock:${cid}`, "a");
    expect(lines).toHaveLength(MAX_COUNTED);
    refusals.flush();
    expect(lines.slice(MAX_COUNTED)).toEqual([
      `other peers: refused ${10_000 - MAX_COUNTED} more, for several reasons`,
    ]);
    refusals.flush();
  });
});

describe("the pool of refused peers", () => {
  test("has places for a few, and again once they are closed", async () => {
    const pool = new RefusedPool(1024);
    const closings = Array.from({ length: MAX_REFUSED_OPEN }, () => Promise.withResolvers<void>());
    for (const { promise } of closings) {
      expect(pool.hasCapacity(20)).toBe(true);
      pool.add({ closed: promise });
    }
    expect(pool.hasCapacity(20)).toBe(false);
    closings[0]?.resolve();
    await closings[0]?.promise;
    expect(pool.hasCapacity(20)).toBe(true);
  });

  test("has none if descriptors are short", () => {
    expect(new RefusedPool(1024).hasCapacity(895)).toBe(true);
    expect(new RefusedPool(1024).hasCapacity(896)).toBe(false);
    expect(new RefusedPool(100).hasCapacity(49)).toBe(true);
    expect(new RefusedPool(100).hasCapacity(50)).toBe(false);
  });
});
