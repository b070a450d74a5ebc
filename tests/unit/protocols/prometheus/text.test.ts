import { describe, expect, test } from "bun:test";
import { encodeMetrics } from "../../../../src/protocols/prometheus/text.ts";

describe("the text format", () => {
  test("has HELP, TYPE and a line a sample", () => {
    const text = encodeMetrics([
      {
        name: "x_total",
        help: "Things.",
        type: "counter",
        samples: [{ labels: { cid: 3, by: "host" }, value: 5 }, { value: 2 ** 53 }],
      },
      { name: "y", help: "Room.", type: "gauge", samples: [{ value: 0.25 }] },
    ]);
    expect(text).toBe(
      [
        "# HELP x_total Things.",
        "# TYPE x_total counter",
        'x_total{cid="3",by="host"} 5',
        "x_total 9007199254740992",
        "# HELP y Room.",
        "# TYPE y gauge",
        "y 0.25",
        "",
      ].join("\n"),
    );
  });

  test("escapes what would end a label or a line", () => {
    const samples = [{ labels: { path: 'a"b\\c\nd' }, value: 1 }];
    expect(encodeMetrics([{ name: "x", help: 'a\\b\n"c"', type: "gauge", samples }])).toBe(
      '# HELP x a\\\\b\\n"c"\n# TYPE x gauge\nx{path="a\\"b\\\\c\\nd"} 1\n',
    );
  });

  test.each([
    [Number.NaN, "NaN"],
    [Infinity, "+Inf"],
    [-Infinity, "-Inf"],
    [1e21, "1e+21"],
  ])("writes %p as %s", (value, written) => {
    const text = encodeMetrics([{ name: "x", help: "", type: "gauge", samples: [{ value }] }]);
    expect(text).toEndWith(`\nx ${written}\n`);
  });

  test("leaves out what has no samples, and refuses wrong names", () => {
    const metric = { name: "x", help: "", type: "gauge", samples: [{ value: 1 }] } as const;
    expect(encodeMetrics([{ ...metric, samples: [] }])).toBe("");
    for (const wrong of [
      { name: "1x" },
      { name: "x y" },
      { type: "counter" },
      { name: "x_total" },
      { samples: [{ labels: { "a-b": 1 }, value: 1 }] },
    ] as const) {
      expect(() => encodeMetrics([{ ...metric, ...wrong }])).toThrow(RangeError);
    }
  });
});
