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
    },
    stdin: "ignore",
    stdout: echo ? "inherit" : "pipe",
    stderr: echo ? "inherit" : "pipe",
  });
  const output = echo
    ? ["", ""]
    : await Promise.all([new Response(step.stdout).text(), new Response(step.stderr).text()]);
  const passed = (await step.exited) === 0;
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(`${passed ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (!passed) process.stdout.write(output.join(""));
  return passed;
}
