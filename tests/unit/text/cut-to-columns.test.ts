import { expect, test } from "bun:test";
import { cutToColumns } from "../../../src/text/cut-to-columns.ts";

test.each([
  ["plain", 10, "plain"],
  ["plain", 5, "plain"],
  ["plain", 3, "pla"],
  ["宿主机", 5, "宿主"],
  ["e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"],
  ["\u{1F469}\u200D\u{1F680}x", 2, "\u{1F469}\u200D\u{1F680}"],
  ["any", 0, ""],
])("%j in %p columns is %j", (text, columns, cut) => {
  expect(cutToColumns(text, columns)).toBe(cut);
});
