/**
 * The vhost-user device's lower half against VMMs and guests that cheat, as a program. Everything is
 * brought back by its seed; what fails is printed with an option that plays that session alone.
 */
import { parseArgs } from "node:util";
import { toVsockboxError, VsockboxError } from "../../src/errors.ts";
import { fuzzVhost, playSession, type VhostReport } from "./vhost-fuzzer.ts";
import { VHOST_TARGETS, type VhostTarget } from "./vhost-targets.ts";
import type { WatchedSessions } from "./vhost-watchdog.ts";

const HELP = `Usage: bun run tests/fuzz/vhost.ts [options]

  --steps N                    steps for each target (default: 2000000)
  --seed S                     where the sessions come from (default: 1)
  --only NAME                  one target; may be repeated
  --list                       print the targets and run none
  --replay TARGET:SEED:INDEX   play one session
  --json                       one JSON object a line

Exit status: 0 where every promise was kept, 1 where one was broken, 137 where a session never ends.
`;

function usage(message: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "fuzz", message });
}

function readArguments() {
  try {
    return parseArgs({
      args: Bun.argv.slice(2),
      options: {
        steps: { type: "string", default: "2000000" },
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
    throw usage(`${name} must be a whole number up to 2147483647`);
  }
  return value;
}

function targetNamed(name: string): VhostTarget {
  const found = VHOST_TARGETS.find((target) => target.name === name);
  if (found === undefined) throw usage(`there is no target ${JSON.stringify(name)}; see --list`);
  return found;
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

function replay(option: string): number {
  const [name = "", seed = "", index = ""] = option.split(":");
  const target = targetNamed(name);
  const [seedNumber, indexNumber] = [
    wholeNumber("the seed", seed),
    wholeNumber("the index", index),
  ];
  try {
    const { steps, refused } = playSession(target, seedNumber, indexNumber);
    print(`ok    ${target.name}: ${steps} steps, ${refused} refused`);
    return 0;
  } catch (thrown) {
    print(`FAIL  ${target.name}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    return 1;
  }
}

function report(done: VhostReport, json: boolean): void {
  if (json) return print(JSON.stringify(done));
  const { target, sessions, steps, refused, milliseconds, failure } = done;
  const facts = [
    `${steps} steps`,
    `${sessions} sessions`,
    `${Math.round((refused / Math.max(steps, 1)) * 100)} % refused`,
    `${(milliseconds / 1000).toFixed(2)} s`,
  ];
  print(`${failure === undefined ? "ok  " : "FAIL"}  ${target.padEnd(12)} ${facts.join(", ")}`);
  if (failure !== undefined) print(`      ${failure.reason}\n      ${failure.replay}`);
}

/** Tells the watchdog where the run is; gives what is to be called before each session. */
function watch(seed: number): (target: number, index: number) => void {
  const progress = new SharedArrayBuffer(8);
  const worker = new Worker(new URL("vhost-watchdog.ts", import.meta.url).href);
  worker.unref();
  const targets = VHOST_TARGETS.map(({ name }) => name);
  const watched: WatchedSessions = { progress, seed, targets };
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
    for (const { name } of VHOST_TARGETS) print(name);
    return 0;
  }
  if (args.replay !== undefined) return replay(args.replay);
  const steps = wholeNumber("--steps", args.steps);
  const seed = wholeNumber("--seed", args.seed);
  const targets = args.only.length === 0 ? VHOST_TARGETS : args.only.map(targetNamed);
  const tell = watch(seed);
  let failures = 0;
  for (const target of targets) {
    const which = VHOST_TARGETS.indexOf(target);
    const done = fuzzVhost(target, { steps, seed, onSession: (index) => tell(which, index) });
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
