/** Findings as text and as JSON. */
import type { Finding, Severity } from "./finding.ts";

/** In front of each line; as wide as the longest. */
const WIDTH = "warning".length + 1;

/** Returns the lines of a finding. */
export function findingLines({ severity, code, message, fix, hint }: Finding): string[] {
  const indent = " ".repeat(WIDTH);
  return [
    `${severity.padEnd(WIDTH)}${message}${severity === "ok" ? "" : ` [${code}]`}`,
    ...(fix === undefined ? [] : [`${indent}fix: ${fix}`]),
    ...(hint === undefined ? [] : [`${indent}hint: ${hint}`]),
  ];
}

/** Returns the last line: how many findings there are of each severity. */
export function summaryLine(findings: readonly Finding[]): string {
  const count = (wanted: Severity) => findings.filter(({ severity }) => severity === wanted).length;
  const parts = [
    [count("error"), "error"],
    [count("warning"), "warning"],
  ] as const;
  const shown = parts
    .filter(([number]) => number > 0)
    .map(([number, name]) => `${number} ${name}${number === 1 ? "" : "s"}`);
  return shown.length === 0 ? "no problems found" : `${shown.join(", ")} found`;
}

/** Returns a finding with the keys of docs/json.md. */
export function findingJson({
  severity,
  code,
  message,
  fix,
  hint,
}: Finding): Record<string, unknown> {
  return { severity, code, message, fix: fix ?? null, hint: hint ?? null };
}
