/**
 * A fuzzer as a program: options, a run of each target, a line about each, and a watchdog. Everything
 * is brought back by its seed; what fails is printed with an option that plays that one alone.
 */
import { parseArgs } from "node:util";
import { commandLineError, toVsockboxError, VsockboxError } from "../../src/errors.ts";
import type { Watched } from "./watchdog.ts";

/** What became of a target's run, as far as the program has to know. */
export interface Report {
  target: string;
  milliseconds: number;
  /** Why it failed, and what `--replay` takes to show that. */
  failure: { reason: string; replay: string } | undefined;
}

/** Options of one run. */
export interface RunOptions {
  /** How much is to be done: inputs or steps. */
  count: number;
  seed: number;
  /** Called before each input or session, so that a watchdog knows which one never came to an end. */
  onBegin: (index: number) => void;
}

type Counted = readonly [name: "inputs" | "steps", count: number];

/** A fuzzer. */
export interface Fuzzer<T extends { name: string }, R extends Report> {
  /** Path of the program below the root of the tree. */
  path: string;
  targets: readonly T[];
  /** What is counted, as the name of the option, and how many there are by default. */
  counted: Counted;
  run(target: T, options: RunOptions): R;
  /** Facts of a run for its line. */
  facts(report: R): string[];
  /** Plays what `--replay TARGET:WORD` names. Gives how it went; throws where a promise is broken. */
  replay(target: T, word: string): string;
  /** What WORD may be beside SEED:INDEX; for the help. */
  words?: string;
}

function usage(message: string): VsockboxError {
  return commandLineError("fuzz", message);
}

/** @throws {VsockboxError} USAGE. */
function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value > 0x7fff_ffff) {
    throw usage(`${name} must be a whole number up to 2147483647`);
  }
  return value;
}

/** What `--replay TARGET:SEED:INDEX` names; undefined for a word of another form. */
export function seedAndIndex(word: string): readonly [seed: number, index: number] | undefined {
  const match = /^(\d+):(\d+)$/.exec(word);
  if (match === null) return undefined;
  return [wholeNumber("the seed", match[1] ?? ""), wholeNumber("the index", match[2] ?? "")];
}

/** The option that plays one input or session of a run alone. */
export function replayOption(target: string, word: string): string {
  return `--replay ${target}:${word}`;
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

function helpOf(path: string, [name, count]: Counted, words: string | undefined): string {
  return `Usage: bun run ${path} [options]

  --${`${name} N`.padEnd(28)} ${name} for each target (default: ${count})
  --seed S                       where they come from (default: 1)
  --only NAME                    one target; may be repeated
  --list                         print the targets and run none
  --replay TARGET:SEED:INDEX     play one of a run alone${words === undefined ? "" : `; also TARGET:${words}`}
  --json                         one JSON object a line

Exit status: 0 where every promise was kept, 1 where one was broken, 137 where one never ends.
`;
}

function readArguments([name, count]: Counted) {
  try {
    const { values } = parseArgs({
      args: Bun.argv.slice(2),
      options: {
        [name]: { type: "string", default: String(count) },
        seed: { type: "string", default: "1" },
        only: { type: "string", multiple: true, default: [] },
        list: { type: "boolean", default: false },
        replay: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false, short: "h" },
      },
    });
    return { ...values, count: String(Reflect.get(values, name)) };
  } catch (thrown) {
    throw usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** Tells the watchdog where the run is; gives what is to be called before each input or session. */
async function watch(
  targets: string[],
  seed: number,
): Promise<(target: number, index: number) => void> {
  const progress = new SharedArrayBuffer(8);
  const worker = new Worker(new URL("watchdog.ts", import.meta.url).href);
  worker.unref();
  const watched: Watched = { progress, seed, targets };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
  worker.postMessage(watched);
  // A target may count descriptors: the thread has to have all of its own.
  await new Promise((resolve) => worker.addEventListener("message", resolve, { once: true }));
  const numbers = new Int32Array(progress);
  return (target, index) => {
    numbers[0] = target;
    numbers[1] = index;
  };
}

function printReport<R extends Report>(report: R, facts: string[]): void {
  const { target, milliseconds, failure } = report;
  const shown = [...facts, `${(milliseconds / 1000).toFixed(2)} s`].join(", ");
  print(`${failure === undefined ? "ok  " : "FAIL"}  ${target.padEnd(15)} ${shown}`);
  if (failure !== undefined) print(`      ${failure.reason}\n      ${failure.replay}`);
}

async function runAll<T extends { name: string }, R extends Report>(
  fuzzer: Fuzzer<T, R>,
): Promise<number> {
  const { targets, counted } = fuzzer;
  const args = readArguments(counted);
  if (args.help) {
    process.stdout.write(helpOf(fuzzer.path, counted, fuzzer.words));
    return 0;
  }
  if (args.list) {
    for (const { name } of targets) print(name);
    return 0;
  }
  const named = (name: string): T => {
    const found = targets.find((target) => target.name === name);
    if (found === undefined) throw usage(`there is no target ${JSON.stringify(name)}; see --list`);
    return found;
  };
  if (args.replay !== undefined) {
    const colon = args.replay.indexOf(":");
    const target = named(args.replay.slice(0, Math.max(colon, 0)));
    return replay(target.name, () => fuzzer.replay(target, args.replay?.slice(colon + 1) ?? ""));
  }
  const count = wholeNumber(`--${counted[0]}`, args.count);
  const seed = wholeNumber("--seed", args.seed);
  const tell = await watch(
    targets.map(({ name }) => name),
    seed,
  );
  let failures = 0;
  for (const target of args.only.length === 0 ? targets : args.only.map(named)) {
    const which = targets.indexOf(target);
    const report = fuzzer.run(target, { count, seed, onBegin: (index) => tell(which, index) });
    if (args.json) print(JSON.stringify(report));
    else printReport(report, fuzzer.facts(report));
    if (report.failure !== undefined) failures++;
    // The watchdog's message has to get through.
    await Bun.sleep(0);
  }
  return failures === 0 ? 0 : 1;
}

function replay(name: string, play: () => string): number {
  try {
    print(`ok    ${name}: ${play()}`);
    return 0;
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "USAGE") throw thrown;
    print(`FAIL  ${name}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    return 1;
  }
}

/** Runs the program to its end, which is the process's. */
export async function runFuzzer<T extends { name: string }, R extends Report>(
  fuzzer: Fuzzer<T, R>,
): Promise<never> {
  try {
    process.exit(await runAll(fuzzer));
  } catch (thrown) {
    const error = toVsockboxError(thrown, "complete the run");
    process.stderr.write(`${error.message}\n`);
    process.exit(error.exitStatus);
  }
}
