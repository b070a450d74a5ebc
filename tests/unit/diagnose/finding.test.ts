import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  error,
  exitStatusOf,
  FINDING_CODES,
  info,
  ok,
  warning,
} from "../../../src/diagnose/finding.ts";
import { sourceFiles } from "../../support/imports.ts";

test("the status is that of the first error", () => {
  const findings = [
    warning("clock-off", "a"),
    error("peer-silent", "TIMEOUT", "b"),
    error("port-closed", "UNAVAILABLE", "c"),
  ];
  expect(exitStatusOf(findings, false)).toBe(75);
  expect(exitStatusOf(findings, true)).toBe(75);
});

test("warnings count only if they are asked for", () => {
  const findings = [ok("clock", "a"), info("namespace", "b"), warning("clock-off", "c")];
  expect(exitStatusOf(findings, false)).toBe(0);
  expect(exitStatusOf(findings, true)).toBe(78);
  expect(exitStatusOf(findings.slice(0, 2), true)).toBe(0);
});

test("a finding has all its fields", () => {
  expect(info("kernel", "m", { fix: "f", hint: "h" })).toEqual({
    severity: "info",
    code: "kernel",
    message: "m",
    fix: "f",
    hint: "h",
    failure: undefined,
  });
  expect(warning("kernel", "m")).toMatchObject({
    severity: "warning",
    fix: undefined,
    hint: undefined,
  });
});

const ROOT = join(import.meta.dir, "../../..");
const PAGE = readFileSync(join(ROOT, "docs/doctor.md"), "utf8");

test("docs/doctor.md has a row for each code, and no other", () => {
  const [, findings = ""] = PAGE.split("\n## Findings\n");
  const rows = [...findings.matchAll(/^\| `([a-z-]+)` /gm)].map(([, code = ""]) => code);
  expect(rows.toSorted()).toEqual(FINDING_CODES.toSorted());
});

test("each code is used", () => {
  const texts = sourceFiles(join(ROOT, "src/diagnose"))
    .filter((path) => path.startsWith("judge/"))
    .map((path) => readFileSync(join(ROOT, "src/diagnose", path), "utf8"))
    .join("\n");
  expect(FINDING_CODES.filter((code) => !texts.includes(`"${code}"`))).toEqual([]);
});
