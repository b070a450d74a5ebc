/** Runs cases, each with a deadline of its own. */
import { type Guest, Skip } from "./guest.ts";

/**
 * `required`: what the Go agent does too. `strict`: what the protocol's page demands beyond that.
 */
export type Level = "required" | "strict";

/** What a case talks to. All that it opens ends with the case. */
export interface Subject {
  cleanUp(withinMs: number): Promise<void>;
}

/** One thing that a peer must do. */
export interface Case<S extends Subject = Guest> {
  name: string;
  /** The part of the protocol that demands it, such as `Exec (1)`. */
  row: string;
  level: Level;
  run(subject: S): Promise<void>;
}

const DETAIL_CHARACTERS = 500;

/** An agent that hangs must not hold up the next case for long either. */
const CLEAN_UP_MS = 5000;

/** What became of a case. */
export interface Outcome {
  name: string;
  row: string;
  level: Level;
  result: "ok" | "FAIL" | "skip";
  /** Why it was skipped, or what was seen. */
  detail: string | undefined;
  milliseconds: number;
}

/** Cases of one row, written as name and body. */
export function casesOf<S extends Subject = Guest>(
  row: string,
  level: Level,
  cases: Record<string, (subject: S) => Promise<void>>,
): Case<S>[] {
  return Object.entries(cases).map(([name, run]) => ({ name, row, level, run }));
}

/** Options of {@link runCases}. */
export interface RunOptions<S extends Subject> {
  /** Makes what one case talks to; the name is its own among all cases. */
  subject(name: string): S;
  /** For one case, in milliseconds. */
  deadlineMs: number;
  /** How many cases run side by side. */
  jobs: number;
  /** Called once a case, in the order of the cases. */
  onOutcome(outcome: Outcome): void;
}

/** Runs all cases; gives their outcomes in order. */
export async function runCases<S extends Subject>(
  cases: readonly Case<S>[],
  options: RunOptions<S>,
): Promise<Outcome[]> {
  const run = crypto.randomUUID().slice(0, 8);
  const outcomes: (Outcome | undefined)[] = cases.map(() => undefined);
  let started = 0;
  let reported = 0;
  const work = async () => {
    for (;;) {
      const index = started++;
      const one = cases[index];
      if (one === undefined) return;
      outcomes[index] = await runCase(one, options.subject(`${run}-${index}`), options);
      for (let next = outcomes[reported]; next !== undefined; next = outcomes[++reported]) {
        options.onOutcome(next);
      }
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return outcomes.filter((outcome) => outcome !== undefined);
}

async function runCase<S extends Subject>(
  one: Case<S>,
  subject: S,
  { deadlineMs }: RunOptions<S>,
): Promise<Outcome> {
  const begin = performance.now();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`no end within ${deadlineMs} ms`)),
    deadlineMs,
  );
  const { name, row, level } = one;
  const outcome = (result: Outcome["result"], detail?: string): Outcome => {
    const milliseconds = Math.round(performance.now() - begin);
    return { name, row, level, result, detail, milliseconds };
  };
  try {
    await Promise.race([one.run(subject), late.promise]);
    return outcome("ok");
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return outcome(thrown instanceof Skip ? "skip" : "FAIL", oneLine(message));
  } finally {
    clearTimeout(timer);
    await subject.cleanUp(Math.min(deadlineMs, CLEAN_UP_MS)).catch(() => undefined);
  }
}

/** Long enough to see what is wrong, and one line whatever an agent sent. */
function oneLine(text: string): string {
  return text.slice(0, DETAIL_CHARACTERS).replaceAll("\n", " ");
}
