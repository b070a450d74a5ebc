/** Runs targets on inputs that a seed brings back. */
import { reasonOf, VsockboxError } from "../../src/errors.ts";
import { hoarding, MEMORY_BATCH, processorMs, SLOW_MS } from "./bounds.ts";
import { Mutator, seedOf } from "./mutate.ts";
import { replayOption, seedAndIndex } from "./program.ts";
import { Random } from "./random.ts";
import type { Target } from "./targets.ts";

/** Options of {@link fuzz}. */
export interface FuzzOptions {
  inputs: number;
  seed: number;
  /** Called before each input, so that a watchdog knows which one never came to an end. */
  onInput?: (index: number) => void;
}

/** An input that broke a promise. */
export interface FuzzFailure {
  /** Which promise, or what was thrown. */
  reason: string;
  seed: number;
  /** Which input of the run it was. */
  index: number;
  input: string;
  /** The option that runs this input alone. */
  replay: string;
}

/** What became of a run. */
export interface FuzzReport {
  target: string;
  inputs: number;
  /** Inputs without an error; the others were refused as they should be. */
  accepted: number;
  milliseconds: number;
  /** How much the process grew, in bytes. */
  grownBytes: number;
  failure: FuzzFailure | undefined;
}

/** Runs one input. Gives whether it was taken or refused, or which promise it broke. */
export function runInput(target: Target, input: Uint8Array): "accepted" | "refused" | Error {
  try {
    target.run(input);
    return "accepted";
  } catch (thrown) {
    if (thrown instanceof VsockboxError && target.codes.includes(thrown.code)) return "refused";
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/** Makes the input of an index again. */
export function inputOf(target: Target, seed: number, index: number): Uint8Array {
  const random = new Random();
  const mutator = new Mutator(random, target.corpus.map(seedOf));
  random.begin(seed, index);
  return mutator.make();
}

/** Longer inputs would fill the terminal: they are made again from their seed, in bytes. */
const PRINTED_BYTES = 4096;

/** What `--replay` takes to run an input of a run alone. */
export function replayOf(
  target: Target,
  input: Uint8Array,
  { seed, index }: { seed: number; index: number },
): string {
  const isLong = input.length > PRINTED_BYTES;
  const word = isLong ? `${seed}:${index}` : Buffer.from(input).toString("base64");
  return replayOption(target.name, word);
}

/** The input that {@link replayOf} names. */
export function replayInput(target: Target, word: string): Uint8Array {
  const made = seedAndIndex(word);
  return made === undefined ? Buffer.from(word, "base64") : inputOf(target, ...made);
}

/** Gives a target so many inputs, until one breaks a promise. */
export function fuzz(target: Target, { inputs, seed, onInput }: FuzzOptions): FuzzReport {
  const random = new Random();
  const mutator = new Mutator(random, target.corpus.map(seedOf));
  const rssBefore = process.memoryUsage.rss();
  // Stacks take most of the time of an input that is refused; a replay shows them.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const begin = performance.now();
  let accepted = 0;
  let failure: FuzzFailure | undefined;
  let index = 0;
  let last = begin;
  for (; index < inputs && failure === undefined; index++) {
    onInput?.(index);
    random.begin(seed, index);
    const input = mutator.make();
    let outcome = runInput(target, input);
    const now = performance.now();
    if (now - last > SLOW_MS) outcome = stillSlow(target, input) ?? outcome;
    if (outcome === "accepted") accepted++;
    else if (outcome !== "refused") failure = failureOf(target, seed, index, input, outcome);
    const held = index % MEMORY_BATCH === MEMORY_BATCH - 1 ? hoarding(rssBefore) : undefined;
    if (held !== undefined) failure ??= failureOf(target, seed, index, input, new Error(held));
    last = performance.now();
  }
  Error.stackTraceLimit = stackTraceLimit;
  return {
    target: target.name,
    inputs: index,
    accepted,
    milliseconds: performance.now() - begin,
    grownBytes: Math.max(0, process.memoryUsage.rss() - rssBefore),
    failure,
  };
}

function stillSlow(target: Target, input: Uint8Array): Error | undefined {
  const milliseconds = processorMs(() => runInput(target, input));
  return milliseconds > SLOW_MS
    ? new Error(`one input took ${Math.round(milliseconds)} ms`)
    : undefined;
}

function failureOf(
  target: Target,
  seed: number,
  index: number,
  input: Uint8Array,
  error: Error,
): FuzzFailure {
  return {
    reason: `${error.name}: ${reasonOf(error).message}`,
    seed,
    index,
    input: Buffer.from(input).toString("base64"),
    replay: replayOf(target, input, { seed, index }),
  };
}
