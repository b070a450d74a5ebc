/**
 * Limits the time series of one target. Each combination of a metric and label values is a series that a
 * database keeps for weeks: a hostile guest that sends new label values in each scrape would fill it. A series
 * that has not been sent for a day makes place for another one, as of a disk or a container that was removed.
 */
import { seriesKey } from "../../protocols/prometheus/metric-set.ts";
import type { Metric } from "../../protocols/prometheus/text.ts";

/** Series of one target in a day: twice what one scrape may have. */
export const MAX_SERIES = 8192;

/** How long a series is remembered that is not sent any more, in milliseconds. */
export const SERIES_MS = 24 * 60 * 60 * 1000;

/** Metrics within the limit. */
export interface LimitedMetrics {
  metrics: readonly Metric[];
  /** Number of samples that were dropped. */
  dropped: number;
}

/** The series of one target. */
export class SeriesLimit {
  /** When each was sent last, by performance.now(): the first is the one that was sent longest ago. */
  readonly #lastSent = new Map<bigint, number>();

  /**
   * Returns the metrics of a scrape without samples of series beyond the limit.
   *
   * @param now by performance.now().
   */
  apply(metrics: readonly Metric[], now: number): LimitedMetrics {
    this.#forgetBefore(now - SERIES_MS);
    let dropped = 0;
    const limited = metrics.map((metric) => {
      const samples = metric.samples.filter(({ labels }) => {
        return this.#mayPass(Bun.hash.wyhash(seriesKey(metric.name, labels ?? {})), now);
      });
      dropped += metric.samples.length - samples.length;
      return { ...metric, samples };
    });
    return { metrics: limited, dropped };
  }

  #mayPass(series: bigint, now: number): boolean {
    const isKnown = this.#lastSent.delete(series);
    if (!isKnown && this.#lastSent.size >= MAX_SERIES) return false;
    this.#lastSent.set(series, now);
    return true;
  }

  #forgetBefore(time: number): void {
    for (const [series, sent] of this.#lastSent) {
      if (sent >= time) return;
      this.#lastSent.delete(series);
    }
  }
}
