/** What a run of cases prints. */
import type { Case, Outcome, Subject } from "./runner.ts";

/** Prints a line. */
export const print = (line: string) => void process.stdout.write(`${line}\n`);

/** Prints the cases. */
export function list<S extends Subject>(cases: readonly Case<S>[], json: boolean): void {
  for (const { level, row, name } of cases) {
    print(json ? JSON.stringify({ level, row, name }) : `${level.padEnd(8)}  ${row}: ${name}`);
  }
}

/** Prints what became of a case. */
export function report(outcome: Outcome, json: boolean): void {
  const { result, level, row, name, detail, milliseconds } = outcome;
  if (json) {
    print(JSON.stringify({ result, level, row, name, detail, milliseconds }));
    return;
  }
  const why = detail === undefined ? "" : ` - ${detail}`;
  print(`${result.padEnd(4)}  ${level.padEnd(8)}  ${row}: ${name}${why}`);
}

/** Prints the sums. */
export function summarize(outcomes: readonly Outcome[], json: boolean): void {
  const count = (result: Outcome["result"], level?: Outcome["level"]) =>
    outcomes.filter((one) => one.result === result && (level ?? one.level) === one.level).length;
  const summary = {
    cases: outcomes.length,
    passed: count("ok"),
    failed: { required: count("FAIL", "required"), strict: count("FAIL", "strict") },
    skipped: count("skip"),
  };
  const { cases, passed, failed, skipped } = summary;
  print(
    json
      ? JSON.stringify({ summary })
      : `${cases} cases: ${passed} passed, ${failed.required} required and ${failed.strict} strict failed, ${skipped} skipped`,
  );
}
