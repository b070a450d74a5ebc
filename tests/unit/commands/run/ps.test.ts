import { expect, test } from "bun:test";
import { sessionIds } from "../../../../src/commands/run/ps.ts";

const sessions = [
  { id: "1a", state: "ended" },
  { id: "2b", state: "running" },
  { id: "3c", state: "running" },
];

test("ids are those of running sessions, or of all", () => {
  expect(sessionIds(sessions, false)).toEqual(["2b", "3c"]);
  expect(sessionIds(sessions, true)).toEqual(["1a", "2b", "3c"]);
  expect(sessionIds([], true)).toEqual([]);
});
