import { describe, expect, test } from "bun:test";
import {
  coordinate,
  escapeSvg,
  linearTicks,
  lineCharts,
  logarithmicTicks,
} from "../../../src/bench/svg.ts";

describe("ticks", () => {
  test.each([
    [10, [0, 2, 4, 6, 8, 10]],
    [2, [0, 0.5, 1, 1.5, 2]],
    [1063, [0, 500, 1000, 1500]],
    [4.2, [0, 1, 2, 3, 4, 5]],
    [0, [0]],
  ])("from 0 to %d are round and enclose it", (max, expected) => {
    const ticks = linearTicks(max, String);
    expect(ticks.map(({ at }) => at)).toEqual(max === 0 ? [0, 1] : expected);
    expect(ticks.map(({ label }) => Number(label))).toEqual(ticks.map(({ at }) => at));
  });

  test("of a logarithmic axis are the powers of ten around the values", () => {
    expect(logarithmicTicks(15, 2000, String)).toEqual([
      { at: 1, label: "10" },
      { at: 2, label: "100" },
      { at: 3, label: "1000" },
      { at: 4, label: "10000" },
    ]);
    expect(logarithmicTicks(100, 100, String).map(({ at }) => at)).toEqual([2, 3]);
  });
});

describe("a chart", () => {
  const panel = {
    title: "A & B",
    xLabel: "seconds",
    xTicks: [
      { at: 0, label: "0" },
      { at: 10, label: "10" },
    ],
    yTicks: [
      { at: 0, label: "0" },
      { at: 100, label: "100" },
    ],
    series: [
      {
        name: "<first>",
        points: [
          [0, 0],
          [5, 50],
          [10, 100],
        ],
      },
      { name: "second", points: [[10, 0]] },
    ],
  } as const;

  test("has its lines between the ends of the axes", () => {
    const svg = lineCharts("a title", [panel]);
    expect(svg).toContain('viewBox="0 0 760 280"');
    expect(svg).toContain('style="stroke: var(--c0)" points="80,234 335,137 590,40"');
    expect(svg).toContain('style="stroke: var(--c1)" points="590,234"');
  });

  test("may have an axis that does not begin at 0, and a key right of it", () => {
    const xTicks = [
      { at: 2, label: "100" },
      { at: 4, label: "10000" },
    ];
    const series = [{ name: "one", points: [[3, 50] as const] }];
    const svg = lineCharts("a title", [{ ...panel, xTicks, series }]);
    expect(svg).toContain('points="335,137"');
    expect(svg).toContain('x1="602" x2="620" y1="48" y2="48"');
    expect(svg).toContain('<text x="626" y="52">one</text>');
  });

  test("has a panel below the other", () => {
    const svg = lineCharts("a title", [panel, panel]);
    expect(svg).toContain('viewBox="0 0 760 560"');
    expect(svg).toContain('transform="translate(0 280)"');
  });

  test("escapes what it is given, and has colours for both backgrounds", () => {
    const svg = lineCharts('"x"', [panel]);
    expect(svg).toContain("A &amp; B");
    expect(svg).toContain("&lt;first&gt;");
    expect(svg).toContain("<title>&quot;x&quot;</title>");
    expect(svg).toContain("prefers-color-scheme: dark");
    expect(svg).not.toMatch(/undefined|NaN/);
  });

  test("is well-formed", async () => {
    const tags: string[] = [];
    const rewriter = new HTMLRewriter().on("*", {
      element: ({ tagName }) => void tags.push(tagName),
    });
    await rewriter.transform(new Response(lineCharts("t", [panel]))).text();
    expect(tags.filter((tag) => tag === "polyline")).toHaveLength(2);
    expect(escapeSvg('<&>"')).toBe("&lt;&amp;&gt;&quot;");
    expect(coordinate(1.26)).toBe("1.3");
  });
});
