import { describe, expect, test } from "bun:test";
import {
  checkBenchOptions,
  type GivenOptions,
} from "../../../../src/commands/diagnose/bench-options.ts";
import { BENCH_TESTS, type BenchTest } from "../../../../src/protocols/bench/request.ts";

const NONE: GivenOptions = {
  ...{ duration: undefined, bytes: undefined, count: undefined },
  ...{ messageSize: undefined, rate: undefined, warmUp: undefined },
};
const check = (tests: readonly BenchTest[], given: Partial<GivenOptions>) => () =>
  checkBenchOptions(tests, { ...NONE, ...given });

/** Tests on which each option has an effect. */
const EFFECTS: readonly [keyof GivenOptions, readonly BenchTest[]][] = [
  ["bytes", ["upload", "download", "both"]],
  ["count", ["latency", "connects"]],
  ["rate", ["latency"]],
  ["warmUp", ["latency"]],
  ["messageSize", ["upload", "download", "both", "latency"]],
  ["duration", BENCH_TESTS],
];

describe.each(EFFECTS)("%s", (option, effective) => {
  test.each(BENCH_TESTS)("for the test %s", (name) => {
    const checked = check([name], { [option]: 1 });
    if (effective.includes(name)) expect(checked).not.toThrow();
    else expect(checked).toThrow(`has no effect on --test ${name}`);
  });

  test("is accepted if one of several tests reads it", () => {
    expect(check(BENCH_TESTS, { [option]: 1 })).not.toThrow();
  });
});

test("a duration has no effect if another limit ends all tests", () => {
  expect(check(["upload"], { duration: 1, bytes: 1 })).toThrow(
    "bench run: --duration has no effect on --test upload",
  );
  expect(check(["latency", "connects"], { duration: 1, count: 1 })).toThrow("--duration has no");
  expect(check(["upload", "latency"], { duration: 1, bytes: 1 })).not.toThrow();
  expect(check(["upload", "latency"], { duration: 1, bytes: 1, count: 1 })).toThrow("--duration");
});

test("the error names the tests that read the option", () => {
  expect(check(["upload", "both"], { count: 1 })).toThrow(
    expect.objectContaining({
      code: "USAGE",
      reason: "--count has no effect on --test upload and --test both",
      hint: "--count is for --test latency, --test connects",
    }),
  );
});
