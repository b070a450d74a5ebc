/** A short run of vsock-shell's fuzzer; `bun run tests/fuzz/vsock-shell.ts` is the long one. */
import { expect, test } from "bun:test";
import { ShellMessageReader } from "../../src/protocols/vsock-shell/message.ts";
import { fuzzVhost } from "./vhost-fuzzer.ts";
import { SHELL_TARGETS } from "./vsock-shell-targets.ts";

const STEPS = 30_000;

test.each(SHELL_TARGETS.map((target) => [target.name, target] as const))(
  "%s keeps its promises",
  (name, target) => {
    const report = fuzzVhost(target, { steps: STEPS, seed: 7 });
    expect(report.failure).toBeUndefined();
    expect(report.steps).toBeGreaterThanOrEqual(STEPS);
    if (name === "queue") return;
    // Neither all valid nor all refused: else the sessions are of no use.
    expect(report.refused).toBeGreaterThan(STEPS / 100);
    expect(report.refused).toBeLessThan(report.steps * 0.98);
  },
);

test("a reader that is broken is found out", () => {
  const [target] = SHELL_TARGETS;
  const { next } = ShellMessageReader.prototype;
  ShellMessageReader.prototype.next = function broken() {
    const message = next.call(this);
    return message === undefined || message.data.length % 7 !== 3
      ? message
      : { ...message, data: message.data.subarray(1) };
  };
  try {
    if (target === undefined) throw new Error("there is no target");
    expect(fuzzVhost(target, { steps: STEPS, seed: 1 }).failure?.reason).toMatch(/BrokenPromise/);
  } finally {
    ShellMessageReader.prototype.next = next;
  }
});
