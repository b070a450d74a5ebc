import { expect, test } from "bun:test";
import { plot } from "../../../src/bench/plot.ts";
import { benchResult } from "../../support/bench-results.ts";

const count = (text: string, part: string) => text.split(part).length - 1;

test("a plot of everything has a line a direction, and one a test with latencies", () => {
  const svg = plot(
    (["upload", "download", "both", "latency", "connects"] as const).map((name) =>
      benchResult(name),
    ),
    "all",
  );
  expect(count(svg, "<polyline")).toBe(6);
  for (const name of ["upload", "download", "both, to server", "both, from server"]) {
    expect(svg).toContain(`>${name}</text>`);
  }
  expect(svg).toContain(">99.99</text>");
  expect(svg).toContain('viewBox="0 0 760 560"');
  expect(svg).not.toMatch(/undefined|NaN|Infinity/);
});

test("a plot has only the panels that have lines", () => {
  expect(plot([benchResult("upload")], "one")).toContain('viewBox="0 0 760 280"');
  const latency = plot([benchResult("latency")], "one");
  expect(latency).toContain('viewBox="0 0 760 280"');
  expect(latency).not.toContain("MB/s");
});

test("the throughput is that since the sample before", () => {
  const samples = [
    { atMs: 1000, toServerBytes: 1e9, fromServerBytes: 0, operations: 0 },
    { atMs: 2000, toServerBytes: 1.5e9, fromServerBytes: 0, operations: 0 },
  ];
  // 1000 MB/s at the upper end of the axis, then 500 MB/s in its middle.
  expect(plot([benchResult("upload", { samples })], "one")).toContain('points="335,40 590,137"');
});

test("a latency is drawn at each percentile that is measured, from the lowest on", () => {
  const svg = plot([benchResult("latency")], "one");
  const [, text = ""] = /points="([^"]*)"/.exec(svg) ?? [];
  const points = text.split(" ").map((point) => point.split(",").map(Number));
  // 1 µs is the lowest and 1 ms near the highest of 1000 latencies: two decades and a half.
  expect(points[0]).toEqual([80, 233.8]);
  expect(points.length).toBe(20);
  expect(points).toEqual(points.toSorted(([a = 0], [b = 0]) => a - b));
  const heights = points.map(([, y = 0]) => y);
  expect(heights).toEqual(heights.toSorted((a, b) => b - a));
  expect(heights.at(-1)).toBeLessThan(45);
});

test("without samples or operations there is nothing to draw", () => {
  expect(plot([benchResult("upload", { samples: [] })], "none")).toContain('viewBox="0 0 760 0"');
});
