import { expect, test } from "bun:test";
import { countOf } from "../../../src/text/count.ts";

test.each([
  [0, "0 sessions"],
  [1, "1 session"],
  [2, "2 sessions"],
  [21, "21 sessions"],
])("%d is counted as %j", (count, text) => {
  expect(countOf(count, "session")).toBe(text);
});

test("a plural of another form", () => {
  expect(countOf(1, "is", "are")).toBe("1 is");
  expect(countOf(1, "process does", "processes do")).toBe("1 process does");
  expect(countOf(3, "process does", "processes do")).toBe("3 processes do");
});
