/**
 * The agent protocol's readers against broken input, as a program. Everything is brought back by its
 * seed; what fails is printed with an option that runs that input alone.
 */
import { parseArgs } from "node:util";
import { toVsockboxError, VsockboxError } from "../../src/errors.ts";
import { fuzz, type FuzzReport, replayInput, runInput } from "./fuzzer.ts";
import { type Target, TARGETS } from "./targets.ts";
import type { Watched } from "./watchdog.ts";

const HELP = `Usage: bun run tests/fuzz/agent.ts [options]

  --inputs N               inputs for each target (default: 1000000)
  --seed S                 where the inputs come from (default: 1)
  --only NAME              one target; may be repeated
  --list                   print the targets and run none
  --replay TARGET:BASE64   run one input (a long one: TARGET:seed-S-input-N)
  --json                   one JSON object a line

Exit status: 0 where every promise was kept, 1 where one was broken, 137 where an input never ends.
`;

function usage(message: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "fuzz", message });
}

function readArguments() {
  try {
    return parseArgs({
      args: Bun.argv.slice(2),
      options: {
        inputs: { type: "string", default: "1000000" },
        seed: { type: "string", default: "1" },
        only: { type: "string", multiple: true, default: [] },
        list: { type: "boolean", default: false },
        replay: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false, short: "h" },
      },
    }).values;
  } catch (thrown) {
    throw usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value > 0x7fff_ffff) {
    throw usage(`--${name} must be a whole number up to 2147483647`);
  }
  return value;
}

function targetNamed(name: string): Target {
  const found = TARGETS.find((target) => target.name === name);
  if (found === undefined) throw usage(`there is no target ${JSON.stringify(name)}; see --list`);
  return found;
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

function replay(option: string): number {
  const colon = option.indexOf(":");
  const target = targetNamed(option.slice(0, Math.max(colon, 0)));
  const outcome = runInput(target, replayInput(target, option.slice(colon + 1)));
  if (typeof outcome === "string") {
    print(`ok    ${target.name}: ${outcome}`);
    return 0;
  }
  print(`FAIL  ${target.name}: ${outcome.stack ?? outcome.message}`);
  return 1;
}

function report(done: FuzzReport, json: boolean): void {
  if (json) return print(JSON.stringify(done));
  const { target, inputs, accepted, milliseconds, grownBytes, failure } = done;
  const share = inputs === 0 ? 0 : Math.round((accepted / inputs) * 100);
  const facts = [
    `${inputs} inputs`,
    `${(milliseconds / 1000).toFixed(2)} s`,
    `${share} % accepted`,
    `+${Math.round(grownBytes / 1024 / 1024)} MiB`,
  ];
  print(`${failure === undefined ? "ok  " : "FAIL"}  ${target.padEnd(15)} ${facts.join(", ")}`);
  if (failure === undefined) return;
  print(`      ${failure.reason}`);
  print(`      input ${failure.index} of seed ${failure.seed}`);
  print(`      ${failure.replay}`);
}

/** Tells the watchdog where the run is; gives what is to be called before each input. */
function watch(seed: number): (target: number, index: number) => void {
  const progress = new SharedArrayBuffer(8);
  const worker = new Worker(new URL("watchdog.ts", import.meta.url).href);
  worker.unref();
  const watched: Watched = { progress, seed };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
  worker.postMessage(watched);
  const numbers = new Int32Array(progress);
  return (target, index) => {
    numbers[0] = target;
    numbers[1] = index;
  };
}

async function main(): Promise<number> {
  const args = readArguments();
  if (args.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (args.list) {
    for (const { name } of TARGETS) print(name);
    return 0;
  }
  if (args.replay !== undefined) return replay(args.replay);
  const inputs = wholeNumber("inputs", args.inputs);
  const seed = wholeNumber("seed", args.seed);
  const targets = args.only.length === 0 ? TARGETS : args.only.map(targetNamed);
  const tell = watch(seed);
  let failures = 0;
  for (const target of targets) {
    const which = TARGETS.indexOf(target);
    const done = fuzz(target, { inputs, seed, onInput: (index) => tell(which, index) });
    report(done, args.json);
    if (done.failure !== undefined) failures++;
    // The watchdog's message has to get through.
    await Bun.sleep(0);
  }
  return failures === 0 ? 0 : 1;
}

try {
  process.exit(await main());
} catch (thrown) {
  const error = toVsockboxError(thrown, "fuzz");
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitStatus);
}
