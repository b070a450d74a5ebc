/** Results as lines of text, in the columns of two tables: transfers, and operations with latencies. */
import {
  type Counts,
  isBulk,
  type Operations,
  type BenchSample,
  type TestResult,
  type BenchTransfer,
} from "./plan.ts";
import {
  formatAmount,
  formatCpu,
  formatGigabits,
  formatLatency,
  formatMegabytes,
  formatRate,
  formatSeconds,
  perSecond,
} from "./units.ts";
import type { BenchTest } from "../protocols/bench/request.ts";

/** Parts of all operations whose latency is reported, by their names. */
const PERCENTILES = [
  ["p50", 0.5],
  ["p90", 0.9],
  ["p99", 0.99],
  ["p99.9", 0.999],
] as const;

const TEST_WIDTH = 10;
const DIRECTION_WIDTH = 11;
const BULK_WIDTH = 14;
const OPERATION_WIDTH = 11;

const CPU_TITLES = ["client CPU", "server CPU"];
const BULK_TITLES = ["rate", "", "received", "time", ...CPU_TITLES];
const OPERATION_TITLES = ["rate", ...PERCENTILES.map(([name]) => name), "max", ...CPU_TITLES];

function row(test: string, direction: string, numbers: readonly string[]): string {
  const width = direction === "" ? OPERATION_WIDTH : BULK_WIDTH;
  const cells = numbers.map((cell) => cell.padStart(width));
  const padded = direction === "" ? "" : direction.padEnd(DIRECTION_WIDTH);
  return `${test.padEnd(TEST_WIDTH)}${padded}${cells.join("")}`.trimEnd();
}

/** Returns the head of the table in which the results of a test are. */
export function headLine(test: BenchTest): string {
  return row(
    "test",
    isBulk(test) ? "direction" : "",
    isBulk(test) ? BULK_TITLES : OPERATION_TITLES,
  );
}

/** Returns the lines of a result, without the head. */
export function resultLines(result: TestResult): string[] {
  const { toServer, fromServer, operations } = result;
  const lines: string[] = [];
  if (toServer !== undefined) lines.push(transferLine(result, "to server", toServer));
  if (fromServer !== undefined) {
    const direction = "from server";
    lines.push(transferLine(result, direction, fromServer, toServer !== undefined));
  }
  if (operations !== undefined) lines.push(operationsLine(result, operations));
  if (result.isInterrupted)
    lines.push(`${result.plan.test}: interrupted, this is its result so far`);
  return lines;
}

/** The second line of a test repeats neither its name nor the processor time. */
function transferLine(
  result: TestResult,
  direction: string,
  { bytes, elapsedMs }: BenchTransfer,
  isSecond = false,
): string {
  const rate = perSecond(bytes, elapsedMs);
  return row(isSecond ? "" : result.plan.test, direction, [
    formatMegabytes(rate),
    formatGigabits(rate),
    formatAmount(bytes),
    formatSeconds(elapsedMs),
    ...(isSecond ? [] : cpuCells(result)),
  ]);
}

function operationsLine(result: TestResult, { count, elapsedMs, latency }: Operations): string {
  return row(result.plan.test, "", [
    formatRate(perSecond(count, elapsedMs)),
    ...PERCENTILES.map(([, part]) => formatLatency(latency.percentileNs(part))),
    formatLatency(latency.maxNs),
    ...cpuCells(result),
  ]);
}

function cpuCells({ clientCpuMs, serverCpuMs, elapsedMs }: TestResult): string[] {
  return [formatCpu(clientCpuMs, elapsedMs), formatCpu(serverCpuMs, elapsedMs)];
}

/** Returns the lines under the tables about how latencies were measured. */
export function noteLines(results: readonly TestResult[]): string[] {
  const isBackToBack = results.some(
    ({ plan, operations }) => plan.test === "latency" && operations?.isFromDue === false,
  );
  return isBackToBack
    ? [
        "latency: each message is sent when the last one is back, so a pause delays one message only;",
        "with --rate, latency counts from the time at which a message was due",
      ]
    : [];
}

/** Returns the line of an interval: what it has added to the counts at its beginning. */
export function intervalLine(test: BenchTest, before: BenchSample, after: BenchSample): string {
  const elapsedMs = after.atMs - before.atMs;
  const added = (count: keyof Counts) => perSecond(after[count] - before[count], elapsedMs);
  const time = `${formatSeconds(before.atMs)} to ${formatSeconds(after.atMs)}`;
  const directions = [
    ["to server", added("toServerBytes"), test === "upload" || test === "both"],
    ["from server", added("fromServerBytes"), test === "download" || test === "both"],
  ] as const;
  const rates = directions
    .filter(([, , isMeasured]) => isMeasured)
    .map(([name, rate]) => `${name} ${formatMegabytes(rate)}`);
  const shown = isBulk(test) ? rates.join(", ") : formatRate(added("operations"));
  return `${test}, ${time}: ${shown}`;
}
