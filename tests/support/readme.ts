/** The pages of the documentation and their fenced blocks, for tests that run and check them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

/** A fenced block. */
export interface Example {
  /** The words after the fence, as in `sh guest`. */
  info: string;
  text: string;
  /** The number of the fence's line. */
  line: number;
  /** The block of output that follows, if there is one. */
  output?: ExpectedOutput;
}

/** The output that a page shows after its commands. */
export interface ExpectedOutput {
  text: string;
  /** Numbers, identifiers and the width of columns may differ: the fence says `output like`. */
  isAlike: boolean;
}

/**
 * The kinds of fenced blocks, by the words after the fence, with the test that holds each.
 *
 * In a block that runs, `3` as an address stands for the agent of the test, and absolute paths below
 * /tmp, /srv, /run and /var/log for paths in a directory of the test.
 */
export const KINDS: readonly { info: RegExp; heldBy: string }[] = [
  { info: /^sh$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^sh agent$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^output( like)?$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^sh guest$/, heldBy: "tests/vm/readme.ts" },
  { info: /^sh repository$/, heldBy: "tests/integration/readme.test.ts" },
  { info: /^sh observe$/, heldBy: "tests/integration/hybrid-observe.test.ts" },
  { info: /^sh skip: \S.{8,}$/, heldBy: "tests/unit/docs.test.ts" },
  { info: /^ts$/, heldBy: "tests/integration/library.test.ts" },
  { info: /^yaml profiles$/, heldBy: "tests/unit/docs.test.ts" },
  { info: /^yaml devices$/, heldBy: "tests/unit/docs.test.ts" },
  { info: /^json$/, heldBy: "tests/unit/docs.test.ts" },
  { info: /^ssh-config$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^yaml$/, heldBy: "tests/unit/docs.test.ts" },
  { info: /^yaml (?:github|gitlab)$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^xml$/, heldBy: "tests/integration/docs.test.ts" },
  { info: /^systemd [\w@-]+\.(?:service|socket)$/, heldBy: "tests/integration/docs.test.ts" },
  // Diagrams, layouts of bytes, contents of files: no commands.
  { info: /^text$/, heldBy: "tests/unit/docs.test.ts" },
];

/** Returns the paths of README.md and of all pages in docs/, relative to the tree's root. */
export function documentPages(): string[] {
  const pages = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  const names = pages.filter((name) => name.endsWith(".md")).sort();
  return ["README.md", ...names.map((name) => `docs/${name}`)];
}

/** Returns the text of a page, by its path from the tree's root. */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Returns all fenced blocks of a page, in order; a block of output belongs to the one before it. */
export function examplesOf(path: string): Example[] {
  const document = readPage(path);
  const examples: Example[] = [];
  for (const match of document.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)) {
    const [, info = "", text = ""] = match;
    const line = document.slice(0, match.index).split("\n").length;
    examples.push({ info, text, line });
    if (!/^output( like)?$/.test(info)) continue;
    const before = examples.at(-2);
    if (before?.info.startsWith("sh") === true) {
      before.output = { text, isAlike: info === "output like" };
    }
  }
  return examples;
}
