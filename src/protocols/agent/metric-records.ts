/**
 * Metrics of an agent on a channel: a record for each metric, `{name, help, samples}`, and a sample as
 * `{value, labels}`. The type is in the name. A reader trusts nothing: what a guest sends ends up in one
 * exposition with the metrics of other guests and of the host, so names, labels, texts and counts have
 * limits, and names have the prefix of agents or guests.
 */
import { printable } from "../../text/printable.ts";
import { type Labels, type Metric, metricTypeOf, type Sample } from "../prometheus/text.ts";
import { badField, field, type JsonObject, readString } from "./json-fields.ts";

/** Metrics of one agent, and samples of all of them together. */
export const MAX_METRICS = 256;
export const MAX_SAMPLES = 4096;

const MAX_LABELS = 8;

/** Longest value of a label and longest help text, in UTF-16 units. */
export const MAX_TEXT_LENGTH = 256;

const METRIC_NAME = /^vsockbox_(?:agent|guest)_[a-z0-9_]{1,100}$/;
/** Not those of Prometheus, and not those by which the host names its targets. */
const LABEL_NAME = /^(?!__|target$|cid$)[a-z_][a-z0-9_]{0,62}$/;

/** Returns a metric as a record. */
export function encodeMetricRecord({ name, help, samples }: Metric): JsonObject {
  return {
    name,
    help,
    samples: samples.map(({ labels, value }) =>
      labels === undefined ? { value } : { value, labels },
    ),
  };
}

/**
 * Reads a record.
 *
 * @throws {VsockboxError} BAD_DATA for anything that no agent sends.
 */
export function decodeMetricRecord(record: JsonObject): Metric {
  const name = readString("metric", record, "name") ?? "";
  if (!METRIC_NAME.test(name))
    throw badField("metric", "its name is not one of an agent's metrics");
  const what = `metric ${name}`;
  const help = printable(readString(what, record, "help") ?? "No description.", {
    maxCharacters: MAX_TEXT_LENGTH,
  });
  const samples = field(record, "samples");
  if (!Array.isArray(samples) || samples.length > MAX_SAMPLES) {
    throw badField(what, `samples is not a list of at most ${MAX_SAMPLES} entries`);
  }
  const type = metricTypeOf(name);
  const decoded = samples.map((sample) => decodeSample(what, sample));
  if (type === "counter" && decoded.some(({ value }) => value < 0)) {
    throw badField(what, "a counter is negative");
  }
  return { name, help, type, samples: decoded };
}

function decodeSample(what: string, sample: unknown): Sample {
  const object = objectOf(what, "a sample", sample);
  const value = field(object, "value");
  // JSON has numbers beyond the range, which become infinite.
  if (typeof value !== "number" || !Number.isFinite(value))
    throw badField(what, "a value is not a number");
  return { labels: decodeLabels(what, field(object, "labels") ?? {}), value };
}

function decodeLabels(what: string, value: unknown): Labels {
  const entries = Object.entries(objectOf(what, "labels", value));
  if (entries.length > MAX_LABELS)
    throw badField(what, `a sample has more than ${MAX_LABELS} labels`);
  return Object.fromEntries(
    entries.map(([name, text]) => {
      if (!LABEL_NAME.test(name)) throw badField(what, "the name of a label is not valid");
      if (typeof text !== "string") throw badField(what, `the label ${name} is not a text`);
      return [name, printable(text, { maxCharacters: MAX_TEXT_LENGTH })];
    }),
  );
}

function objectOf(what: string, name: string, value: unknown): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badField(what, `${name} is not an object`);
  }
  return value as JsonObject;
}
