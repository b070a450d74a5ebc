/** A short run of the device's fuzzer, and proof that it finds what is broken. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { burnProcessor } from "./bounds.ts";
import { fuzzVhost, playSession } from "./vhost-fuzzer.ts";
import { BrokenPromise, type VhostTarget } from "./promises.ts";
import { VHOST_TARGETS } from "./vhost-targets.ts";

const STEPS = 30_000;
const PROGRAM = join(import.meta.dir, "vhost.ts");

describe("every part keeps its promises", () => {
  test.each(VHOST_TARGETS.map((target) => [target.name, target] as const))("%s", (_, target) => {
    const report = fuzzVhost(target, { steps: STEPS, seed: 7 });
    expect(report.failure).toBeUndefined();
    expect(report.steps).toBeGreaterThanOrEqual(STEPS);
    // Neither all valid nor all refused: else the sessions are of no use.
    expect(report.refused).toBeGreaterThan(STEPS / 100);
    expect(report.refused).toBeLessThan(report.steps * 0.9);
  });

  // Sessions that have found something, or were the slowest: a line each, as --replay takes them.
  const corpus = readFileSync(join(import.meta.dir, "vhost-corpus.txt"), "utf8")
    .trim()
    .split("\n");
  test.each(corpus)("%s", (line) => {
    const [name = "", seed = "", index = ""] = line.split(":");
    const target = VHOST_TARGETS.find((candidate) => candidate.name === name);
    if (target === undefined) throw new Error(`there is no target ${name}`);
    expect(playSession(target, Number(seed), Number(index)).steps).toBeGreaterThan(0);
  });

  test("a session can be played again", () => {
    for (const target of VHOST_TARGETS) {
      expect(playSession(target, 7, 11)).toEqual(playSession(target, 7, 11));
    }
  });
});

describe("a broken target is found", () => {
  const broken = (run: VhostTarget["run"]): VhostTarget => ({ name: "broken", run });

  test("with the session that shows it", () => {
    const target = broken((random) => {
      if (random.below(100) === 42) throw new BrokenPromise("it is never 42");
      return { steps: 1, refused: 0 };
    });
    const { failure } = fuzzVhost(target, { steps: STEPS, seed: 1 });
    expect(failure?.reason).toBe("BrokenPromise: it is never 42");
    const [, seed, index] = failure?.replay.split(":").map(Number) ?? [];
    expect(() => playSession(target, seed ?? 0, index ?? 0)).toThrow("it is never 42");
  });

  test("also if it is slow", () => {
    const target = broken(() => {
      burnProcessor();
      return { steps: STEPS, refused: 0 };
    });
    const { failure } = fuzzVhost(target, { steps: 1, seed: 1 });
    expect(failure?.reason).toMatch(/one session took \d+ ms/);
  });
});

describe("the program", () => {
  const run = (...options: string[]) => {
    const { exitCode, stdout } = Bun.spawnSync([process.execPath, "run", PROGRAM, ...options]);
    return { status: exitCode, stdout: stdout.toString() };
  };

  test("runs the requested targets and reports them as JSON", () => {
    const { status, stdout } = run("--steps", "500", "--seed", "3", "--only", "ring", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ target: "ring" });
    expect(status).toBe(0);
  });

  test("plays one session alone", () => {
    expect(run("--replay", "memory:1:5").stdout).toMatch(/^ok {4}memory: \d+ steps/);
    expect(run("--replay", "memory:1:x").status).toBe(64);
    expect(run("--only", "nothing").status).toBe(64);
  });
});
