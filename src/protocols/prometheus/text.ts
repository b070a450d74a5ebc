/**
 * The text exposition format of Prometheus, version 0.0.4: for each metric a HELP line, a TYPE line,
 * and a line for each of its samples.
 */

/** The Content-Type of the format. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Names of labels with their values. */
export type Labels = Readonly<Record<string, string | number>>;

/** One value of a metric. */
export interface Sample {
  /** The labels that distinguish it from the metric's other samples. */
  labels?: Labels | undefined;
  value: number;
}

/** A counter only grows until its process or kernel starts again; a gauge has any value. */
export type MetricType = "counter" | "gauge";

/** Returns the type of a metric by its name: a counter's ends in `_total`, and no gauge's does. */
export function metricTypeOf(name: string): MetricType {
  return name.endsWith("_total") ? "counter" : "gauge";
}

/** A metric with its samples. */
export interface Metric {
  /** Letters, digits and `_`; a counter's ends in `_total`. */
  name: string;
  help: string;
  type: MetricType;
  samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Writes metrics in their order; those without samples are left out.
 *
 * @throws {RangeError} for a name that the format does not have: a mistake of the caller's.
 */
export function encodeMetrics(metrics: readonly Metric[]): string {
  return metrics
    .filter(({ samples }) => samples.length > 0)
    .map((metric) => {
      const { name, help, type, samples } = metric;
      checkName(metric);
      const lines = samples.map(
        ({ labels = {}, value }) => `${name}${encodeLabels(labels)} ${encodeValue(value)}\n`,
      );
      return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join("")}`;
    })
    .join("");
}

function checkName({ name, type }: Metric): void {
  if (!NAME.test(name)) throw new RangeError(`${name} is not a metric name`);
  if (type !== metricTypeOf(name)) {
    throw new RangeError(`${name} is a ${type}: counters end in _total, and nothing else does`);
  }
}

function encodeLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    if (!NAME.test(name)) throw new RangeError(`${name} is not a label name`);
    return `${name}="${escapeLabel(String(value))}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function encodeValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Math.abs(value) === Infinity) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

const escapeHelp = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const escapeLabel = (text: string) => escapeHelp(text).replaceAll('"', '\\"');
