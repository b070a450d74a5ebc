/** Runs the shell examples of a page, one after the other in one shell, and compares their output. */
import { mkdirSync } from "node:fs";
import { shell, TemporaryFolder, TestAgent } from "./binary.ts";
import type { Example, ExpectedOutput } from "./readme.ts";

/** The directories of the examples that stand for directories of the test. */
const DIRECTORIES = ["tmp", "srv", "run", "var/log"];

/** The result of one example. */
export interface ExampleResult {
  example: Example;
  status: number;
  /** Standard output and errors, with the names that the page uses. */
  output: string;
}

/** Runs the blocks `sh` and `sh agent` of a page; they share the working directory and variables. */
export async function runExamples(examples: readonly Example[]): Promise<ExampleResult[]> {
  using directory = new TemporaryFolder();
  for (const name of [...DIRECTORIES, "home", "work"]) {
    mkdirSync(directory.file(name), { recursive: true });
  }
  const needsAgent = examples.some(({ info }) => info === "sh agent");
  await using agent = needsAgent
    ? await TestAgent.start([], { cwd: directory.file("work") })
    : undefined;
  const names = { root: directory.path, agent: agent?.address ?? "3" };
  const blocks = examples.map(({ text, info }, index) => {
    const inRoot = inDirectory(text, names.root);
    const line = info === "sh agent" ? withAgent(inRoot, names.agent) : inRoot;
    return `printf '\\n@@@ ${index}\\n'\n${line}\nprintf '\\n@@@ status %s\\n' "$?"\n`;
  });
  const { stdout } = await shell(
    `exec 2>&1\n${blocks.join("")}\nkill $(jobs -p) 2> /dev/null\nwait`,
    {
      cwd: directory.file("work"),
      env: { HOME: directory.file("home"), XDG_RUNTIME_DIR: directory.file("run") },
    },
  );
  return examples.map((example, index) => {
    const [, rest = ""] = stdout.split(`\n@@@ ${index}\n`);
    const [output = "", after = ""] = rest.split("\n@@@ status ");
    const text = output.replaceAll(names.agent, "3").replaceAll(names.root, "");
    return { example, status: Number.parseInt(after, 10), output: text };
  });
}

/** Returns an example with another address in place of the CID 3, as a word or before a path. */
export function withAgent(text: string, address: string): string {
  return text.replaceAll(/(?<=[ '",])3(?=[ :,;)\n'"]|$)/gm, address);
}

function inDirectory(text: string, root: string): string {
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
