/** What the programs of conformance suites have in common: options, which cases, and the end. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { commandLineError, toVsockboxError, type VsockboxError } from "../../src/errors.ts";
import { list, report, summarize } from "./report.ts";
import { type Case, type Outcome, runCases, type Subject } from "./runner.ts";

const OPTIONS = {
  only: { type: "string", default: "" },
  list: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "required-only": { type: "boolean", default: false },
  deadline: { type: "string", default: "15" },
  help: { type: "boolean", default: false, short: "h" },
} as const satisfies ParseArgsOptionsConfig;

/** The help's lines for the options that all suites have. */
export const OPTIONS_HELP = `  --only TEXT        only cases whose row or name contains TEXT
  --list             print the cases and run none
  --json             one JSON object a line
  --required-only    strict cases are reported but do not decide the exit status
  --deadline SECONDS for one case (default: 15)`;

/** The help's end. */
export const STATUS_HELP =
  "Exit status: 0 where everything passed, 1 where a case failed, others as vsockbox has them.";

/** A command line that cannot be meant. */
export function usage(message: string): VsockboxError {
  return commandLineError(undefined, message);
}

/** Reads the command line, with a suite's own options beside those of all. */
export function readOptions<T extends ParseArgsOptionsConfig>(own: T) {
  try {
    return parseArgs({ args: Bun.argv.slice(2), options: { ...OPTIONS, ...own } }).values;
  } catch (thrown) {
    throw usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** A number of an option, above 0 and up to 3600. */
export function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw usage(`--${name} must be a number above 0, up to 3600`);
  return value;
}

/** The options of all suites as they were given. */
export interface SuiteOptions {
  only: string;
  list: boolean;
  json: boolean;
  "required-only": boolean;
  deadline: string;
}

/** What the cases are run against. */
export interface SuiteSubject<S extends Subject> {
  subject: (name: string) => S;
  /** Cases side by side. */
  jobs: number;
  /** Called before the first case, and not where the cases are only listed. */
  begin?: () => Promise<void>;
}

/** Lists or runs the cases that are asked for; gives the exit status. */
export async function runSuite<S extends Subject>(
  options: SuiteOptions,
  all: readonly Case<S>[],
  against: () => SuiteSubject<S>,
): Promise<number> {
  const cases = all.filter(({ row, name }) => `${row}: ${name}`.includes(options.only));
  if (cases.length === 0) throw usage(`no case contains ${JSON.stringify(options.only)}`);
  if (options.list) {
    list(cases, options.json);
    return 0;
  }
  const { subject, jobs, begin } = against();
  const deadlineMs = positive("deadline", options.deadline) * 1000;
  await begin?.();
  const onOutcome = (outcome: Outcome) => report(outcome, options.json);
  const outcomes = await runCases(cases, { subject, deadlineMs, jobs, onOutcome });
  summarize(outcomes, options.json);
  const decides = ({ level }: Outcome) => !options["required-only"] || level === "required";
  return outcomes.some((one) => one.result === "FAIL" && decides(one)) ? 1 : 0;
}

/** Runs a program to its end, and exits: a suite may have left something open. */
export async function runProgram(main: () => Promise<number>): Promise<never> {
  try {
    process.exit(await main());
  } catch (thrown) {
    const error = toVsockboxError(thrown, "complete the run");
    process.stderr.write(`conformance: ${error.message}\n`);
    process.exit(error.exitStatus);
  }
}
