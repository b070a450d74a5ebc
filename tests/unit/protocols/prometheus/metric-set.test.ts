import { expect, test } from "bun:test";
import { MetricSet } from "../../../../src/protocols/prometheus/metric-set.ts";
import { encodeMetrics } from "../../../../src/protocols/prometheus/text.ts";

const gauge = (name: string, ...samples: { labels?: Record<string, string>; value: number }[]) => ({
  name,
  help: `Help of ${name}.`,
  type: "gauge" as const,
  samples,
});

test("the samples of all sources of a metric follow its one heading, in the order of the names", () => {
  const set = new MetricSet();
  set.add(gauge("b", { value: 1 }), { target: "x" });
  set.add(gauge("a", { value: 2 }), { target: "x" });
  set.add({ ...gauge("b", { labels: { mode: "m" }, value: 3 }), help: "Other." }, { target: "y" });
  expect(encodeMetrics(set.list())).toBe(
    [
      "# HELP b Help of b.",
      "# TYPE b gauge",
      'b{target="x"} 1',
      'b{target="y",mode="m"} 3',
      "# HELP a Help of a.",
      "# TYPE a gauge",
      'a{target="x"} 2',
      "",
    ].join("\n"),
  );
});

test("a source cannot change the labels that name it", () => {
  const set = new MetricSet();
  set.add(gauge("a", { labels: { target: "other", x: "1" }, value: 1 }), { target: "me" });
  expect(set.list()[0]?.samples).toEqual([{ labels: { target: "me", x: "1" }, value: 1 }]);
});

test("of samples with equal labels the first is kept, in whatever order the labels are", () => {
  const set = new MetricSet();
  const labels = { x: "1", y: "2" };
  set.add(gauge("a", { labels, value: 1 }, { labels: { y: "2", x: "1" }, value: 2 }));
  set.add(gauge("a", { labels: { x: "1", y: "2" }, value: 3 }, { labels: { x: "1" }, value: 4 }));
  set.add(gauge("b", { labels, value: 5 }));
  expect(set.list().map(({ samples }) => samples.map(({ value }) => value))).toEqual([[1, 4], [5]]);
});

test("numbers and texts are the same label", () => {
  const set = new MetricSet();
  set.add(gauge("a", { value: 1 }), { cid: 3 });
  set.add(gauge("a", { value: 2 }), { cid: "3" });
  expect(set.list()[0]?.samples).toHaveLength(1);
});
