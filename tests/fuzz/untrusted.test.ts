/** A short run of what stands between a peer's words and this side. */
import { expect, test } from "bun:test";
import { fuzz } from "./fuzzer.ts";
import { UNTRUSTED_TARGETS } from "./untrusted-targets.ts";

const INPUTS = 5000;

test.each(UNTRUSTED_TARGETS.map((target) => [target.name, target] as const))(
  "%s keeps its promises",
  (name, target) => {
    const report = fuzz(target, { inputs: INPUTS, seed: 13 });
    expect(report.failure).toBeUndefined();
    expect(report.inputs).toBe(INPUTS);
    // The decoders share a corpus: some take little of it.
    if (!name.startsWith("decoder-")) expect(report.accepted).toBeGreaterThan(INPUTS / 100);
  },
);
