/** The text of the documents' examples: as a test runs it, and as it compares their output. */
import type { ExpectedOutput } from "./readme.ts";

/** The directories of the examples that stand for directories of the test. */
export const DIRECTORIES = ["tmp", "srv", "run", "var/log"];

/** Returns an example with another address in place of the CID 3, as a word or before a path. */
export function withAgent(text: string, address: string): string {
  return text.replaceAll(/(?<=[ '",])3(?=[ :,;)\n'"]|$)/gm, address);
}

/** Returns an example with its absolute paths in a directory of the test. */
export function inDirectory(text: string, root: string): string {
  const names = DIRECTORIES.join("|");
  return text.replaceAll(new RegExp(`(?<![\\w.}/-])/(?=(?:${names})\\b)`, "g"), `${root}/`);
}

/**
 * Returns the output as the page shows it if both are alike, and otherwise the output itself, so that a
 * test can compare it. On the page `…` stands for any text, and alone on a line for any lines.
 */
export function comparable(output: string, { text, isAlike }: ExpectedOutput): string {
  const actual = normalize(output, isAlike);
  const patterns = normalize(text, isAlike)
    .split("\n")
    .map((line) =>
      line.trim() === "…" ? "(?:.*\n)*?" : `${RegExp.escape(line).replaceAll("…", ".*")}\n`,
    );
  return new RegExp(`^${patterns.join("")}$`).test(`${actual}\n`) ? text : actual;
}

function normalize(text: string, isAlike: boolean): string {
  const trimmed = text.replaceAll("\r", "").trimEnd();
  if (!isAlike) return trimmed;
  return trimmed
    .replaceAll(/\b[0-9a-f]{8,}\b/g, "#")
    .replaceAll(/\d+(?:[.:,]\d+)*/g, "#")
    .replaceAll(/[ \t]+/g, " ");
}
