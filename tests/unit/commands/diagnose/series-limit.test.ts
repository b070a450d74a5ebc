import { describe, expect, test } from "bun:test";
import {
  MAX_SERIES,
  SERIES_MS,
  SeriesLimit,
} from "../../../../src/commands/diagnose/series-limit.ts";
import type { Metric } from "../../../../src/protocols/prometheus/text.ts";

/** A metric with a sample for each device from `from` on. */
const devices = (count: number, from = 0, name = "vsockbox_guest_disk_bytes_total"): Metric => ({
  name,
  help: "Bytes.",
  type: "counter",
  samples: Array.from({ length: count }, (_, index) => ({
    labels: { device: `vd${from + index}` },
    value: index,
  })),
});

describe("the series of a target", () => {
  test("are 8,192 in a day", () => {
    expect([MAX_SERIES, SERIES_MS]).toEqual([8192, 86_400_000]);
    const limit = new SeriesLimit();
    const all = [devices(4096), devices(4095, 0, "vsockbox_guest_disk_reads_total")];
    expect(limit.apply(all, 0)).toEqual({ metrics: all, dropped: 0 });
    // Another metric of the same labels, and the same metric with other labels.
    const more = devices(1, 0, "vsockbox_guest_disk_writes_total");
    expect(limit.apply([more], 1).dropped).toBe(0);
    const { metrics, dropped } = limit.apply([devices(4098)], 2);
    expect(dropped).toBe(2);
    expect(metrics).toEqual([devices(4096)]);
    // Those that are known always pass.
    expect(limit.apply(all, 3)).toEqual({ metrics: all, dropped: 0 });
  });

  test("are a bounded number however many a guest invents", () => {
    const limit = new SeriesLimit();
    let passed = 0;
    for (let scrape = 0; scrape < 20; scrape++) {
      const { metrics } = limit.apply([devices(4096, scrape * 4096)], scrape * 15_000);
      passed += metrics[0]?.samples.length ?? 0;
    }
    expect(passed).toBe(MAX_SERIES);
  });

  test("make place for others a day after they were sent last", () => {
    const limit = new SeriesLimit();
    limit.apply([devices(MAX_SERIES)], 0);
    limit.apply([devices(1)], 1000);
    expect(limit.apply([devices(10, MAX_SERIES)], SERIES_MS).dropped).toBe(10);
    const half = [devices(MAX_SERIES, MAX_SERIES)];
    expect(limit.apply(half, SERIES_MS + 1).dropped).toBe(1);
    expect(limit.apply(half, SERIES_MS + 1001).dropped).toBe(0);
  });

  test("have no order of labels", () => {
    const limit = new SeriesLimit();
    limit.apply([devices(MAX_SERIES - 1)], 0);
    const of = (labels: Record<string, string>): Metric => ({
      ...devices(0),
      samples: [{ labels, value: 1 }],
    });
    expect(limit.apply([of({ a: "1", b: "2" }), of({ b: "2", a: "1" })], 0).dropped).toBe(0);
    expect(limit.apply([of({ a: "2", b: "1" })], 0).dropped).toBe(1);
    const bare: Metric = { ...devices(0), samples: [{ value: 1 }] };
    expect(limit.apply([bare], 0).dropped).toBe(1);
  });
});
