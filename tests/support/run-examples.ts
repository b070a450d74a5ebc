/** Runs the shell examples of a page, one after the other in one shell, and compares their output. */
import { mkdirSync } from "node:fs";
import { shell, ScratchDirectory, TestAgent } from "./binary.ts";
import { DIRECTORIES, inDirectory, withAgent } from "./example-text.ts";
import type { Example } from "./readme.ts";

/** The result of one example. */
export interface ExampleResult {
  example: Example;
  status: number;
  /** Standard output and errors, with the names that the page uses. */
  output: string;
}

/** Runs the blocks `sh` and `sh agent` of a page; they share the working directory and variables. */
export async function runExamples(examples: readonly Example[]): Promise<ExampleResult[]> {
  using directory = new ScratchDirectory();
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
