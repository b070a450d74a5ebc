/** The fuzzer of readers, which take any bytes, as a program. */
import { fuzz, replayInput, runInput } from "./fuzzer.ts";
import { runFuzzer } from "./program.ts";
import type { Target } from "./targets.ts";

/** Runs the program that has these targets; `path` is its own below the root of the tree. */
export function fuzzReaders(path: string, targets: readonly Target[]): Promise<void> {
  return runFuzzer({
    path,
    targets,
    counted: ["inputs", 1_000_000],
    run: (target, { count, seed, onBegin }) =>
      fuzz(target, { inputs: count, seed, onInput: onBegin }),
    facts: ({ inputs, accepted, grownBytes }) => [
      `${inputs} inputs`,
      `${inputs === 0 ? 0 : Math.round((accepted / inputs) * 100)} % accepted`,
      `+${Math.round(grownBytes / 1024 / 1024)} MiB`,
    ],
    replay(target, word) {
      const outcome = runInput(target, replayInput(target, word));
      if (typeof outcome === "string") return outcome;
      throw outcome;
    },
    words: "BASE64",
  });
}
