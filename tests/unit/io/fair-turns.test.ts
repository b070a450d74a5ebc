import { expect, test } from "bun:test";
import { FairTurns } from "../../../src/io/fair-turns.ts";

const MIB = 1024 * 1024;

test("a mover gives way after so many bytes, and others run meanwhile", async () => {
  const turns = new FairTurns();
  let hasRun = false;
  setImmediate(() => {
    hasRun = true;
  });
  expect(turns.moved(MIB - 1)).toBeUndefined();
  await turns.moved(1);
  expect(hasRun).toBe(true);
  expect(turns.moved(MIB - 1)).toBeUndefined();
});

test("a wait counts as giving way", () => {
  const turns = new FairTurns();
  expect(turns.moved(MIB - 1)).toBeUndefined();
  turns.waited();
  expect(turns.moved(MIB - 1)).toBeUndefined();
  expect(turns.moved(1)).toBeInstanceOf(Promise);
});
