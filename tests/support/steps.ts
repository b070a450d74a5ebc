/** Runs commands side by side and reports each in one line; the output of a failed one in full. */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

/** Real processes on a busy machine of two cores: the runner's five seconds a test are too few. */
export const TEST = ["bun", "test", "--timeout", "300000"] as const;

/** One command of a check. */
export interface Step {
  name: string;
  command: [string, ...string[]];
  /** Show the output as it comes. */
  echo?: boolean;
}

/** Runs all steps; ends the process with status 1 where one fails. */
export async function runSteps(steps: readonly Step[]): Promise<void> {
  const passed = await Promise.all(steps.map(runStep));
  if (passed.includes(false)) process.exit(1);
}

async function runStep({ name, command, echo = false }: Step): Promise<boolean> {
  const begin = performance.now();
  if (echo) console.log(`--- ${name}`);
  const step = Bun.spawn(command, {
    cwd: ROOT,
    env: {
      ...process.env,
      PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
      VSOCKBOX_NO_VSOCK: "1",
      // What tests say is read here.
      FORCE_COLOR: undefined,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await Promise.all([collect(step.stdout, echo), collect(step.stderr, echo)]);
  const passed = (await step.exited) === 0;
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  // Of an output that has been seen, what failed is said once more, where a reader looks first.
  if (!passed) process.stdout.write(echo ? failures(output.join("")) : output.join(""));
  console.log(`${passed ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  return passed;
}

async function collect(stream: ReadableStream<Uint8Array>, echo: boolean): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    if (echo) process.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Of one failed test: a console's text may go before it. */
const FAILURE_CHARACTERS = 8000;

/** Before an error of no test, as of a file that cannot be loaded; two lines of dashes are around it. */
const UNHANDLED = "# Unhandled error between tests";

/** What `bun test` has said of each test and file that failed: it stands before the line with its name. */
export function failures(output: string): string {
  let report = "";
  let said = "";
  let rules = 0;
  const keep = (line: string) => {
    report += `${said.slice(-FAILURE_CHARACTERS)}${line}\n`;
    said = "";
  };
  // The summary names them again.
  for (const line of output.split(/^\d+ tests? failed:$/m, 1)[0]?.split("\n") ?? []) {
    const result = /^\((pass|fail|skip|todo)\) /.exec(line)?.[1];
    if (line === UNHANDLED) rules = 2;
    if (result === "fail" || (rules > 0 && /^-+$/.test(line) && --rules === 0)) keep(line);
    else said = result === undefined ? `${said}${line}\n` : "";
  }
  return report === "" ? "" : `\n--- failed:\n${report}`;
}
