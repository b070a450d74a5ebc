/** A short run of the readers of configuration, images and kernel packages. */
import { expect, test } from "bun:test";
import { CONFIG_TARGETS } from "./config-targets.ts";
import { fuzz } from "./fuzzer.ts";

const INPUTS = 5000;

test.each(CONFIG_TARGETS.map((target) => [target.name, target] as const))(
  "%s keeps its promises",
  (_, target) => {
    const report = fuzz(target, { inputs: INPUTS, seed: 11 });
    expect(report.failure).toBeUndefined();
    expect(report.inputs).toBe(INPUTS);
    expect(report.accepted).toBeGreaterThan(INPUTS / 100);
  },
);

test("the corpus is accepted", () => {
  for (const target of CONFIG_TARGETS) {
    for (const input of target.corpus) target.run(input);
  }
});
