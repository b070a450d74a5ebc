/** A short run of the guest-exec readers, and proof that a broken one is found. */
import { expect, test } from "bun:test";
import { fuzz } from "./fuzzer.ts";
import { GUEST_EXEC_TARGETS } from "./guest-exec-targets.ts";

const INPUTS = 20_000;

test.each(GUEST_EXEC_TARGETS.map((target) => [target.name, target] as const))(
  "%s keeps its promises",
  (_, target) => {
    const report = fuzz(target, { inputs: INPUTS, seed: 7 });
    expect(report.failure).toBeUndefined();
    expect(report.inputs).toBe(INPUTS);
    // Neither all valid nor all refused: else the inputs are of no use.
    expect(report.accepted).toBeGreaterThan(INPUTS / 100);
    expect(report.accepted).toBeLessThan(INPUTS);
  },
);

test("the corpus is accepted", () => {
  for (const target of GUEST_EXEC_TARGETS) {
    for (const input of target.corpus) target.run(input);
  }
});

test("a reader that throws a forbidden error is found", () => {
  const [frames] = GUEST_EXEC_TARGETS;
  if (frames === undefined) throw new Error("there are no targets");
  expect(fuzz({ ...frames, codes: [] }, { inputs: INPUTS, seed: 1 }).failure?.reason).toContain(
    "VsockboxError: cannot read command",
  );
});
