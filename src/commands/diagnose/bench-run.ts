/** `vsockbox bench run`: throughput, latency and connects between this side and `vsockbox bench serve`. */
import { runTest } from "../../bench/client.ts";
import { IntervalMeter } from "../../bench/interval-meter.ts";
import { BENCH_PORT, isBulk, type TestPlan, type TestResult } from "../../bench/plan.ts";
import { plot } from "../../bench/plot.ts";
import { headLine, intervalLine, noteLines, resultLines } from "../../bench/report.ts";
import { resultJson } from "../../bench/result-json.ts";
import { toVsockboxError } from "../../errors.ts";
import { formatAddress, withDefaultPort } from "../../net/address.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import {
  BENCH_TESTS,
  type BenchTest,
  MAX_MESSAGE_BYTES,
  MAX_STREAMS,
} from "../../protocols/bench/request.ts";
import { formatDuration } from "../../text/units.ts";
import { type ArgumentValues, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson } from "../../ui/report.ts";
import {
  choice,
  DURATION,
  durationOfAtLeast,
  FILE,
  integer,
  sizeBetween,
} from "../../ui/value-kind.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { dialArguments, dialOptions, jsonArgument } from "../shared/connect-options.ts";
import { checkOutputFile, writeOutputFile } from "../shared/output-file.ts";
import { checkBenchOptions } from "./bench-options.ts";

const DEFAULT_DURATION_MS = 2000;
/** The wire has whole milliseconds, and 0 for none. */
const MIN_DURATION_MS = 1;
const MOST_BYTES = 2 ** 50;
const DEFAULT_INTERVAL_MS = 1000;
const DEFAULT_WARM_UP_MS = 200;
const DEFAULT_BULK_MESSAGE_BYTES = 256 * 1024;
const DEFAULT_PING_MESSAGE_BYTES = 64;
const PLOT_MODE = 0o644;

const ARGUMENTS = {
  address: operand(ADDRESS, { summary: "Where `vsockbox bench serve` listens" }),
  test: list(choice(BENCH_TESTS), {
    defaultText: "all, one after the other",
    summary: "Measure this: bytes in one or both directions, round trips, or connects",
  }),
  duration: option(durationOfAtLeast(MIN_DURATION_MS), {
    defaultText: formatDuration(DEFAULT_DURATION_MS),
    summary: "Duration of each test",
  }),
  bytes: option(sizeBetween(1, MOST_BYTES), {
    summary: "End a test of bytes after this many in each stream and direction instead",
  }),
  count: option(integer(1), {
    summary: "End a test of round trips or connects after this many instead",
  }),
  streams: option(integer(1, MAX_STREAMS), { default: 1, summary: "Connections at once" }),
  messageSize: option(sizeBetween(1, MAX_MESSAGE_BYTES), {
    defaultText: "256 KiB, for round trips 64",
    summary: "Bytes of each write",
  }),
  rate: option(integer(1, 1_000_000), {
    summary:
      "Send so many messages a second for round trips, and count latency from when each is due",
  }),
  warmUp: option(DURATION, {
    defaultText: formatDuration(DEFAULT_WARM_UP_MS),
    summary: "Do not count the round trips of this time at the beginning",
  }),
  interval: option(DURATION, {
    defaultText: "1s on a terminal, otherwise none",
    summary: "Print what was measured after each such time; 0: do not",
  }),
  plot: option(FILE, { summary: "Draw throughput and latency into this SVG file" }),
  ...dialArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "bench run",
  group: "Diagnostics",
  summary: "Measure throughput, latency and connects to bench serve",
  args: ARGUMENTS,
  conflicts: { json: ["interval"] },
  examples: [
    { command: "vsockbox bench run 3", explanation: "Everything, against the VM with CID 3" },
    {
      command: "vsockbox bench run 3 --test download --duration 10 --streams 4",
      explanation: "From the VM on four connections, like `iperf3 -R -P 4`",
    },
    {
      command: "vsockbox bench run 3 --test latency --rate 1000 --plot latency.svg",
      explanation: "Latency under a load of 1000 messages a second, as a plot",
    },
  ],
  async run(args) {
    const plans = plansOf(args);
    if (args.plot !== undefined) checkOutputFile(args.plot);
    const { text } = args.address;
    const address = withDefaultPort(args.address.address, BENCH_PORT);
    const interrupt = new AbortController();
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status ||= statusOfSignal(signal);
      interrupt.abort();
    });
    const { signal } = interrupt;
    const report = new Report(formatAddress(address), args.json);
    for (const plan of plans) {
      if (signal.aborted) break;
      const intervals = new IntervalMeter(intervalOf(args), (before, after) =>
        print(intervalLine(plan.test, before, after)),
      );
      const onSample = intervals.add.bind(intervals);
      const options = dialOptions(args, text, signal);
      const running = runTest({ address, plan, dialOptions: options, signal, onSample });
      const result = await running.catch((thrown: unknown) => {
        // Interrupted before the test has begun: there is nothing to report.
        if (signal.aborted && toVsockboxError(thrown).code === "ABORTED") return undefined;
        throw thrown;
      });
      if (result !== undefined) report.add(result);
    }
    await report.finish(args.plot);
    return status;
  },
});

/** @throws {VsockboxError} USAGE for an option without an effect. */
function plansOf(args: Values): TestPlan[] {
  const tests =
    args.test.length === 0 ? BENCH_TESTS : BENCH_TESTS.filter((test) => args.test.includes(test));
  checkBenchOptions(tests, args);
  return tests.map((test) => ({
    test,
    streams: args.streams,
    messageBytes: args.messageSize ?? defaultMessageBytes(test),
    durationMs: args.duration ?? DEFAULT_DURATION_MS,
    limitBytes: args.bytes,
    limitCount: args.count,
    rate: test === "latency" ? args.rate : undefined,
    warmUpMs: args.warmUp ?? DEFAULT_WARM_UP_MS,
  }));
}

function defaultMessageBytes(test: BenchTest): number {
  return isBulk(test) ? DEFAULT_BULK_MESSAGE_BYTES : DEFAULT_PING_MESSAGE_BYTES;
}

function intervalOf({ interval, json }: Values): number {
  if (json) return 0;
  return interval ?? (process.stdout.isTTY ? DEFAULT_INTERVAL_MS : 0);
}

/** Prints each result as soon as it is there. */
class Report {
  readonly #address: string;
  readonly #json: boolean;
  readonly #results: TestResult[] = [];
  #lastHead = "";

  constructor(address: string, json: boolean) {
    this.#address = address;
    this.#json = json;
  }

  add(result: TestResult): void {
    this.#results.push(result);
    if (this.#json) return printJson(resultJson(result, this.#address));
    const head = headLine(result.plan.test);
    if (head !== this.#lastHead) print(head);
    this.#lastHead = head;
    for (const line of resultLines(result)) print(line);
  }

  async finish(plotFile: string | undefined): Promise<void> {
    if (!this.#json) for (const line of noteLines(this.#results)) print(line);
    if (plotFile === undefined || this.#results.length === 0) return;
    const svg = plot(this.#results, `vsockbox bench run ${this.#address}`);
    await writeOutputFile(plotFile, new TextEncoder().encode(svg), PLOT_MODE);
  }
}
