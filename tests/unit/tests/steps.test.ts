import { expect, test } from "bun:test";
import { failures } from "../../support/steps.ts";

test("what was said of a failed test is said again, and nothing else", () => {
  const output = [
    "a.test.ts:",
    "noise of one that passes",
    "(pass) one [1.00ms]",
    "error: expected 1",
    "  at a.test.ts:3",
    "(fail) two [2.00ms]",
    "(pass) three",
    "",
    "1 tests failed:",
    "(fail) two [2.00ms]",
    " 2 pass",
  ].join("\n");
  expect(failures(output)).toBe(
    "\n--- failed:\nerror: expected 1\n  at a.test.ts:3\n(fail) two [2.00ms]\n",
  );
});

test("an output without failed tests gives nothing", () => {
  expect(failures("error: no such file\n")).toBe("");
});
