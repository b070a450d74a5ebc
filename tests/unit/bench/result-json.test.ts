import { expect, test } from "bun:test";
import { resultJson } from "../../../src/bench/result-json.ts";
import { BENCH_TESTS } from "../../../src/protocols/bench/request.ts";
import { benchResult } from "../../support/bench-results.ts";
import { expectShape, shapeOf } from "../../support/json-shapes.ts";

test.each([...BENCH_TESTS])("the object of %s has the keys of docs/json.md", (name) => {
  expectShape(resultJson(benchResult(name), "unix:/run/x"), shapeOf("bench run"));
});

test("bytes and rates are those of the receiver", () => {
  expect(resultJson(benchResult("both"), "unix:/run/x")).toMatchObject({
    test: "both",
    address: "unix:/run/x",
    streams: 2,
    message_bytes: 65_536,
    duration_ms: 2000,
    interrupted: false,
    to_server_bytes: 2e9,
    to_server_bytes_per_second: 1e9,
    from_server_bytes: 1e9,
    from_server_bytes_per_second: 502_512_563,
    operations: null,
    operations_per_second: null,
    latency: null,
    latency_from_due: null,
    histogram: null,
    client_cpu_ms: 900,
    server_cpu_ms: 1800,
    samples: [
      { at_ms: 1000, to_server_bytes: 1e9, from_server_bytes: 5e8, operations: 0 },
      { at_ms: 2000, to_server_bytes: 2e9, from_server_bytes: 1e9, operations: 0 },
    ],
    stream_bytes: [{ to_server_bytes: 2e9, from_server_bytes: 1e9 }],
  });
});

test("latencies are milliseconds with microseconds", () => {
  const object = resultJson(benchResult("latency"), "unix:/run/x");
  expect(object).toMatchObject({
    to_server_bytes: null,
    to_server_bytes_per_second: null,
    operations: 1000,
    operations_per_second: 500,
    latency_from_due: false,
    latency: { min_ms: 0.001, mean_ms: 0.5, max_ms: 1 },
  });
  const { p50_ms = 0, p90_ms = 0, p99_ms = 0, p99_9_ms = 0 } = object.latency ?? {};
  for (const [value, exact] of [
    [p50_ms, 0.5],
    [p90_ms, 0.9],
    [p99_ms, 0.99],
    [p99_9_ms, 0.999],
  ] as const) {
    expect(value).toBeGreaterThanOrEqual(exact);
    expect(value).toBeLessThanOrEqual(exact * (1 + 1 / 64) + 0.001);
  }
  expect(object.histogram?.reduce((sum, { count }) => sum + count, 0)).toBe(1000);
  expect(object.histogram?.[0]).toEqual({ upper_ms: 0.001, count: 1 });
});
