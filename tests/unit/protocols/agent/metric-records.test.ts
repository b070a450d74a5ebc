import { describe, expect, test } from "bun:test";
import {
  decodeMetricRecord,
  encodeMetricRecord,
  MAX_METRICS,
  MAX_SAMPLES,
  MAX_TEXT_LENGTH,
} from "../../../../src/protocols/agent/metric-records.ts";
import { encodeMetrics } from "../../../../src/protocols/prometheus/text.ts";

const decode = (record: object) => decodeMetricRecord(record as Record<string, unknown>);
const NAME = "vsockbox_guest_x_total";

test("the limits of an agent's metrics are those of docs/metrics.md", () => {
  expect([MAX_METRICS, MAX_SAMPLES, MAX_TEXT_LENGTH]).toEqual([256, 4096, 256]);
});

describe("a record of a metric", () => {
  test.each([
    ["vsockbox_guest_cpu_seconds_total", "counter"],
    ["vsockbox_agent_sessions", "gauge"],
  ] as const)("survives the wire: %s is a %s", (name, type) => {
    const samples = [
      { labels: { mode: "user" }, value: 1.5 },
      { labels: {}, value: 2 },
    ];
    const record = encodeMetricRecord({ name, type, help: "Help.", samples });
    expect(decode(JSON.parse(JSON.stringify(record)) as object)).toEqual({
      name,
      type,
      help: "Help.",
      samples,
    });
  });

  test("has samples without labels, and may have no help", () => {
    expect(
      encodeMetricRecord({ name: NAME, type: "counter", help: "h", samples: [{ value: 1 }] }),
    ).toEqual({ name: NAME, help: "h", samples: [{ value: 1 }] });
    expect(decode({ name: NAME, samples: [{ value: 0 }] })).toEqual({
      name: NAME,
      type: "counter",
      help: "No description.",
      samples: [{ labels: {}, value: 0 }],
    });
  });

  test.each([
    ["a metric of the host's", { name: "vsockbox_up" }],
    ["another program's metric", { name: "node_load1" }],
    ["a name with a line feed", { name: "vsockbox_guest_x\nvsockbox_up" }],
    ["a name of 101 letters", { name: `vsockbox_guest_${"x".repeat(101)}` }],
    ["no name", { name: 5 }],
    ["a prefix alone", { name: "vsockbox_guest_" }],
    ["help that is not a text", { help: 5 }],
    ["no samples", { samples: undefined }],
    ["samples that are an object", { samples: { length: 0 } }],
    [
      "too many samples",
      { samples: Array.from({ length: MAX_SAMPLES + 1 }, () => ({ value: 1 })) },
    ],
    ["a sample that is a number", { samples: [5] }],
    ["a sample that is null", { samples: [null] }],
    ["a sample that is a list", { samples: [[1]] }],
    ["a sample without a value", { samples: [{}] }],
    ["a value that is a text", { samples: [{ value: "1" }] }],
    ["an infinite value", { samples: [{ value: Infinity }] }],
    ["a negative counter", { samples: [{ value: 1 }, { value: -1 }] }],
    ["labels that are a list", { samples: [{ value: 1, labels: ["a"] }] }],
    ["a label with a brace", { samples: [{ value: 1, labels: { 'a="1"}': "b" } }] }],
    ["a label of Prometheus' own", { samples: [{ value: 1, labels: { __name__: "b" } }] }],
    ["the label of a target", { samples: [{ value: 1, labels: { target: "b" } }] }],
    ["the label of a CID", { samples: [{ value: 1, labels: { cid: "3" } }] }],
    ["a label with capitals", { samples: [{ value: 1, labels: { A: "b" } }] }],
    ["a long label", { samples: [{ value: 1, labels: { ["a".repeat(64)]: "b" } }] }],
    ["a label that is a number", { samples: [{ value: 1, labels: { a: 1 } }] }],
    [
      "nine labels",
      {
        samples: [
          { value: 1, labels: Object.fromEntries([..."abcdefghi"].map((name) => [name, "x"])) },
        ],
      },
    ],
  ])("is refused with %s", (_, wrong) => {
    const record = { name: NAME, help: "h", samples: [{ value: 1, labels: { a: "b" } }] };
    expect(() => decode({ ...record, ...wrong })).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });

  test("may have a negative gauge, eight labels, and as many samples as the limit", () => {
    const names = ["a", "b", "c", "d", "e", "f", "targets", "cid_"];
    const labels = Object.fromEntries(names.map((name) => [name, "x"]));
    const samples = Array.from({ length: MAX_SAMPLES }, () => ({ value: -1, labels }));
    expect(decode({ name: "vsockbox_guest_x", samples }).samples).toEqual(samples);
  });

  test("has texts that end no line and hide nothing, of limited length", () => {
    const text = `a\n# TYPE b\u202e\x1b[2J"\\${"x".repeat(1000)}`;
    const metric = decode({ name: NAME, help: text, samples: [{ value: 1, labels: { a: text } }] });
    const lines = encodeMetrics([metric]).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toStartWith(`# HELP ${NAME} a\\\\n# TYPE b\\\\u{202e}\\\\x1b[2J"\\\\xxx`);
    for (const line of lines) expect(line.length).toBeLessThan(400);
  });
});
