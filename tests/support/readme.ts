/** The examples of the documents, to be run by tests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A fenced block. */
export interface Example {
  /** The words behind the fence, as in `sh guest`. */
  info: string;
  text: string;
}

/** All fenced blocks of the README, in order. */
export function readmeExamples(): Example[] {
  return examplesOf("README.md");
}

/** All fenced blocks of a file in docs/, in order. */
export function docExamples(name: string): Example[] {
  return examplesOf(`docs/${name}`);
}

function examplesOf(path: string): Example[] {
  const document = readFileSync(join(import.meta.dir, "../..", path), "utf8");
  return [...document.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(([, info = "", text = ""]) => ({
    info,
    text,
  }));
}
