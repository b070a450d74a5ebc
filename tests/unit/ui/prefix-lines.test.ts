import { expect, test } from "bun:test";
import { prefixLines } from "../../../src/ui/prefix-lines.ts";

test.each([
  ["", ""],
  ["a", "3 | a\n"],
  ["a\n", "3 | a\n"],
  ["a\nb", "3 | a\n3 | b\n"],
  ["\n\n", "3 | \n3 | \n"],
])("%j becomes %j", (text, shown) => {
  expect(Buffer.from(prefixLines("3 | ", Buffer.from(text))).toString()).toBe(shown);
});
