/** The agent protocol's readers against broken input, as a program. */
import { fuzz, replayInput, runInput } from "./fuzzer.ts";
import { runFuzzer } from "./program.ts";
import { TARGETS } from "./targets.ts";

await runFuzzer({
  path: "tests/fuzz/agent.ts",
  targets: TARGETS,
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
