/** The exposition of the metrics of several agents: what each has sent, and how its scrape went. Pure. */
import type { SocketAddress } from "../../net/address.ts";
import { MetricSet } from "../../protocols/prometheus/metric-set.ts";
import {
  encodeMetrics,
  type Labels,
  type Metric,
  metricTypeOf,
} from "../../protocols/prometheus/text.ts";

/** The result of one scrape of one target. */
export interface TargetScrape {
  labels: Labels;
  /** Whether an agent has answered. */
  isUp: boolean;
  durationSeconds: number;
  clockOffsetSeconds: number | undefined;
  metrics: readonly Metric[];
  /** Number of samples that were dropped, since the target has sent too many time series. */
  dropped: number;
}

/** Returns the labels of a target: the word of the command line, and the CID of a vsock address. */
export function targetLabels(name: string, address: SocketAddress): Labels {
  return address.kind === "vsock" ? { target: name, cid: address.cid } : { target: name };
}

/** Metrics about a target itself; their names begin with neither `vsockbox_agent_` nor `vsockbox_guest_`. */
const OF_TARGETS: readonly (readonly [
  name: string,
  help: string,
  value: (scrape: TargetScrape) => number | undefined,
])[] = [
  ["vsockbox_up", "Whether an agent has answered in time.", ({ isUp }) => Number(isUp)],
  [
    "vsockbox_scrape_duration_seconds",
    "Time from the connect to the last metric, or to the failure.",
    ({ durationSeconds }) => durationSeconds,
  ],
  [
    "vsockbox_scrape_samples_dropped",
    "Samples of time series beyond the limit of a target.",
    ({ isUp, dropped }) => (isUp ? dropped : undefined),
  ],
  [
    "vsockbox_clock_offset_seconds",
    "The guest's clock minus the host's.",
    ({ clockOffsetSeconds }) => clockOffsetSeconds,
  ],
];

/** Returns the text of the exposition: a target that has not answered has only its own metrics. */
export function scrapedText(scrapes: readonly TargetScrape[]): string {
  const set = new MetricSet();
  for (const [name, help, valueOf] of OF_TARGETS) {
    for (const scrape of scrapes) {
      const value = valueOf(scrape);
      const samples = value === undefined ? [] : [{ value }];
      set.add({ name, help, type: metricTypeOf(name), samples }, scrape.labels);
    }
  }
  for (const { labels, metrics } of scrapes) for (const metric of metrics) set.add(metric, labels);
  return encodeMetrics(set.list());
}
