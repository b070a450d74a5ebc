import { expect, test } from "bun:test";
import { error, info, ok, warning } from "../../../src/diagnose/finding.ts";
import { findingJson, findingLines, summaryLine } from "../../../src/diagnose/report.ts";

test("the lines of a finding", () => {
  expect(findingLines(ok("clock", "good"))).toEqual(["ok      good"]);
  expect(findingLines(warning("clock-off", "bad", { fix: "f", hint: "h" }))).toEqual([
    "warning bad [clock-off]",
    "        fix: f",
    "        hint: h",
  ]);
});

test("the summary", () => {
  const bad = error("port-closed", "UNAVAILABLE", "x");
  expect(summaryLine([ok("clock", "x"), info("clock", "x")])).toBe("no problems found");
  expect(summaryLine([bad, warning("clock", "x"), bad])).toBe("2 errors, 1 warning found");
  expect(summaryLine([warning("clock", "x"), warning("clock", "x")])).toBe("2 warnings found");
});

test("JSON has all keys", () => {
  const absent = { fix: null, hint: null };
  expect(findingJson(ok("clock", "m"))).toEqual({
    severity: "ok",
    code: "clock",
    message: "m",
    ...absent,
  });
  expect(findingJson(info("clock", "m", { fix: "f", hint: "h" }))).toMatchObject({
    fix: "f",
    hint: "h",
  });
});
