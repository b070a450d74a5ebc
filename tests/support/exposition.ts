/**
 * Reads the text exposition format of Prometheus, version 0.0.4, as strictly as a scrape does: what is
 * written wrong, or twice, is an error. It shares no code with the writer.
 */

/** A metric of an exposition. */
export interface ReadMetric {
  type: string;
  help: string;
  samples: { labels: Readonly<Record<string, string>>; value: number }[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y;
const VALUE = /^(?:NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/** Reads a text; throws for one that breaks the format or its conventions. */
export function readExposition(text: string): Map<string, ReadMetric> {
  const metrics = new Map<string, ReadMetric>();
  const seen = new Set<string>();
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  let current: string | undefined;
  for (const line of text.split("\n").slice(0, -1)) {
    const fail = (reason: string) => new Error(`${reason}: ${line}`);
    const [, keyword, name = "", rest = ""] = /^# (\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      if (metrics.has(name)) throw fail("a second HELP");
      if (rest === "" || /\\(?![\\n])/.test(rest.replaceAll("\\\\", ""))) throw fail("wrong HELP");
      metrics.set((current = name), { type: "", help: rest, samples: [] });
    } else if (keyword === "TYPE") {
      const metric = metrics.get(name);
      if (name !== current || metric === undefined) throw fail("TYPE does not follow its HELP");
      if (metric.type !== "" || metric.samples.length > 0) throw fail("TYPE in the wrong place");
      if (rest !== "counter" && rest !== "gauge") throw fail("an unknown type");
      if ((rest === "counter") !== name.endsWith("_total")) throw fail("the name of another type");
      metric.type = rest;
    } else {
      const [, sampled = "", labelText = "{}", written = ""] = SAMPLE.exec(line) ?? [];
      const metric = metrics.get(sampled);
      if (metric === undefined || sampled !== current || metric.type === "") {
        throw fail("not a sample of the metric above");
      }
      if (!VALUE.test(written)) throw fail("not a value");
      const labels = readLabels(labelText.slice(1, -1), fail);
      const key = JSON.stringify([sampled, ...Object.entries(labels).sort()]);
      if (seen.has(key)) throw fail("a sample twice");
      seen.add(key);
      const value = Number(written.replace("Inf", "Infinity"));
      if (metric.type === "counter" && value < 0) throw fail("a negative counter");
      metric.samples.push({ labels, value });
    }
  }
  for (const [name, { samples }] of metrics) {
    if (samples.length === 0) throw new Error(`${name} has no samples`);
  }
  return metrics;
}

function readLabels(text: string, fail: (reason: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [, name = "", value = ""] = LABEL.exec(text) ?? [];
    if (name === "") throw fail("not a label");
    if (Object.hasOwn(labels, name)) throw fail("a label twice");
    labels[name] = value.replaceAll(/\\(.)/g, (_, character: string) =>
      character === "n" ? "\n" : character,
    );
  }
  return labels;
}
