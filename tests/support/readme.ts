/** The examples of README.md, to be run by tests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A fenced block of the README. */
export interface Example {
  /** The words behind the fence, as in `sh guest`. */
  info: string;
  text: string;
}

/** All fenced blocks, in order. */
export function readmeExamples(): Example[] {
  const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
  return [...readme.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(([, info = "", text = ""]) => ({
    info,
    text,
  }));
}
