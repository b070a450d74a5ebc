import { expect, test } from "bun:test";
import { AcceptLimit } from "../../../src/io/accept-limit.ts";

test("one client is accepted in a round, unless the round before was full", () => {
  const limit = new AcceptLimit(64);
  expect(limit.clients).toBe(1);
  limit.onFull();
  limit.onRound();
  expect(limit.clients).toBe(2);
  // A round without clients.
  limit.onRound();
  expect(limit.clients).toBe(1);
});

test("twice as many are accepted in each round of a flood, up to the limit, until no client waits", () => {
  const limit = new AcceptLimit(10);
  const seen: number[] = [];
  for (let round = 0; round < 6; round++) {
    seen.push(limit.clients);
    limit.onFull();
    limit.onRound();
  }
  expect(seen).toEqual([1, 2, 4, 8, 10, 10]);
  limit.onEmpty();
  expect(limit.clients).toBe(1);
  limit.onRound();
  expect(limit.clients).toBe(1);
});
