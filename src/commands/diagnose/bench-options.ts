/** Which options of `bench run` have an effect on which tests. */
import { isBulk } from "../../bench/plan.ts";
import { commandLineError } from "../../errors.ts";
import { BENCH_TESTS, type BenchTest } from "../../protocols/bench/request.ts";

/** The options that only some tests read, as they were given; undefined: they were not. */
export interface GivenOptions {
  duration: number | undefined;
  bytes: number | undefined;
  count: number | undefined;
  messageSize: number | undefined;
  rate: number | undefined;
  warmUp: number | undefined;
}

type Applies = (test: BenchTest, given: GivenOptions) => boolean;

const isCountable: Applies = (test) => !isBulk(test);
const isLatency: Applies = (test) => test === "latency";

/** By the name of the option. */
const APPLIES: readonly (readonly [option: string, keyof GivenOptions, Applies])[] = [
  ["--bytes", "bytes", isBulk],
  ["--count", "count", isCountable],
  ["--rate", "rate", isLatency],
  ["--warm-up", "warmUp", isLatency],
  ["--message-size", "messageSize", (test) => test !== "connects"],
  // A test that ends after a number does not end after a time.
  [
    "--duration",
    "duration",
    (test, { bytes, count }) => (isBulk(test) ? bytes : count) === undefined,
  ],
];

/**
 * Refuses an option that none of the tests reads.
 *
 * @throws {VsockboxError} USAGE.
 */
export function checkBenchOptions(tests: readonly BenchTest[], given: GivenOptions): void {
  for (const [option, key, applies] of APPLIES) {
    if (given[key] === undefined || tests.some((test) => applies(test, given))) continue;
    const others = BENCH_TESTS.filter((test) => applies(test, { ...given, [key]: undefined }));
    throw commandLineError(
      "bench run",
      `${option} has no effect on ${tests.map((test) => `--test ${test}`).join(" and ")}`,
      others.length === 0 || key === "duration"
        ? "--bytes and --count end a test in place of --duration"
        : `${option} is for ${others.map((test) => `--test ${test}`).join(", ")}`,
    );
  }
}
