/** Metrics of several sources in one exposition: each metric once, with the samples of all sources. */
import type { Labels, Metric, Sample } from "./text.ts";

/**
 * Collects metrics. Prometheus rejects a whole scrape in which two samples have the same name and
 * labels: of such samples the first is kept.
 */
export class MetricSet {
  readonly #metrics = new Map<string, Metric & { samples: Sample[] }>();
  readonly #seen = new Set<string>();

  /**
   * Adds samples of a metric.
   *
   * @param labels of the source, added to each sample; they win over labels of the same name.
   */
  add({ name, help, type, samples }: Metric, labels: Labels = {}): void {
    const known = this.#metrics.get(name) ?? { name, help, type, samples: [] };
    this.#metrics.set(name, known);
    for (const sample of samples) {
      const merged = { ...labels, ...sample.labels, ...labels };
      const key = seriesKey(name, merged);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      known.samples.push({ labels: merged, value: sample.value });
    }
  }

  /** Returns all metrics in the order in which their names were added first. */
  list(): Metric[] {
    return [...this.#metrics.values()];
  }
}

/** Returns a key of the series of a sample: labels have no order, and numbers in them are texts. */
export function seriesKey(name: string, labels: Labels): string {
  const names = Object.keys(labels).sort();
  return JSON.stringify([name, ...names.map((label) => [label, String(labels[label])])]);
}
