/** The plot of `bench run --plot`: throughput over time, and latency by percentile. */
import type { Histogram } from "./histogram.ts";
import type { BenchSample, TestResult } from "./plan.ts";
import { linearTicks, lineCharts, logarithmicTicks, type Panel, type Series } from "./svg.ts";
import { formatLatency, perSecond } from "./units.ts";

const BYTES_PER_MB = 1e6;
const MS_PER_SECOND = 1000;

/** Parts of all operations at which the latency is drawn; the distance from 1 halves with each step. */
const PARTS = Array.from({ length: 27 }, (_, index) => 1 - 0.5 ** (index / 2));

/** The end of the axis. */
const LAST_PART = 0.9999;

/** Parts that are named on it. */
const AXIS_PARTS = [0, 0.5, 0.9, 0.99, 0.999, LAST_PART];

/** Returns the SVG text of all results that have something to draw. */
export function plot(results: readonly TestResult[], title: string): string {
  const panels = [throughput(results), latencies(results)];
  return lineCharts(
    title,
    panels.filter((panel) => panel !== undefined),
  );
}

function throughput(results: readonly TestResult[]): Panel | undefined {
  const series = results.flatMap(({ plan, samples, toServer, fromServer }) => {
    const isBoth = toServer !== undefined && fromServer !== undefined;
    const nameOf = (direction: string) => (isBoth ? `${plan.test}, ${direction}` : plan.test);
    return [
      ...(toServer === undefined
        ? []
        : [seriesOf(nameOf("to server"), samples, ({ toServerBytes }) => toServerBytes)]),
      ...(fromServer === undefined
        ? []
        : [seriesOf(nameOf("from server"), samples, ({ fromServerBytes }) => fromServerBytes)]),
    ];
  });
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) return undefined;
  return {
    title: "Throughput, MB/s",
    xLabel: "seconds",
    xTicks: linearTicks(Math.max(...points.map(([x]) => x)), shortNumber),
    yTicks: linearTicks(Math.max(...points.map(([, y]) => y)), shortNumber),
    series,
  };
}

/** Each point is the rate since the sample before, at the time of the later one. */
function seriesOf(
  name: string,
  samples: readonly BenchSample[],
  bytesOf: (sample: BenchSample) => number,
): Series {
  const points = samples.map((sample, index): [number, number] => {
    const before = samples[index - 1];
    const bytes = bytesOf(sample) - (before === undefined ? 0 : bytesOf(before));
    const rate = perSecond(bytes, sample.atMs - (before?.atMs ?? 0));
    return [sample.atMs / MS_PER_SECOND, rate / BYTES_PER_MB];
  });
  return { name, points };
}

/** Digits of the steps of an axis, without those that floating point adds. */
function shortNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function latencies(results: readonly TestResult[]): Panel | undefined {
  const measured = results.flatMap(({ plan, operations }) =>
    operations === undefined || operations.count === 0
      ? []
      : [{ name: plan.test, latency: operations.latency }],
  );
  if (measured.length === 0) return undefined;
  const min = Math.min(...measured.map(({ latency }) => Math.max(1, latency.minNs)));
  const max = Math.max(...measured.map(({ latency }) => latency.maxNs));
  return {
    title: "Latency",
    xLabel: "percentile",
    xTicks: AXIS_PARTS.map((part) => ({ at: distance(part), label: shortNumber(part * 100) })),
    yTicks: logarithmicTicks(min, max, formatLatency),
    series: measured.map(({ name, latency }) => ({ name, points: percentilePoints(latency) })),
  };
}

/** The position of a percentile on an axis on which each further nine has the same width. */
function distance(part: number): number {
  return Math.log10(1 / (1 - part));
}

/** As far as the operations are enough for: the last point stands for one of them. */
function percentilePoints(latency: Histogram): [number, number][] {
  return PARTS.filter((part) => part <= LAST_PART && (1 - part) * latency.count >= 1).map(
    (part) => [distance(part), Math.log10(Math.max(1, latency.percentileNs(part)))],
  );
}
