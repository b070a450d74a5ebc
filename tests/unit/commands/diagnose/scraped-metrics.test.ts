import { describe, expect, test } from "bun:test";
import {
  scrapedText,
  targetLabels,
  type TargetScrape,
} from "../../../../src/commands/diagnose/scraped-metrics.ts";
import { resolveAddress } from "../../../../src/config/profiles.ts";
import type { Metric } from "../../../../src/protocols/prometheus/text.ts";
import { readExposition } from "../../../support/exposition.ts";

const load = (value: number, labels: Record<string, string> = {}): Metric => ({
  name: "vsockbox_guest_load1",
  help: "Load.",
  type: "gauge",
  samples: [{ labels, value }],
});

const up = (target: string, metrics: Metric[] = []): TargetScrape => ({
  labels: { target },
  isUp: true,
  durationSeconds: 0.25,
  clockOffsetSeconds: -1.5,
  metrics,
  dropped: target === "c" ? 7 : 0,
});

const down = (target: string): TargetScrape => ({
  labels: { target },
  isUp: false,
  durationSeconds: 5,
  clockOffsetSeconds: undefined,
  metrics: [],
  dropped: 0,
});

test("a target that has not answered has vsockbox_up 0, and the others have all their metrics", () => {
  const text = scrapedText([up("a", [load(1)]), down("b"), up("c", [load(3)])]);
  expect(text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([
    'vsockbox_up{target="a"} 1',
    'vsockbox_up{target="b"} 0',
    'vsockbox_up{target="c"} 1',
    'vsockbox_scrape_duration_seconds{target="a"} 0.25',
    'vsockbox_scrape_duration_seconds{target="b"} 5',
    'vsockbox_scrape_duration_seconds{target="c"} 0.25',
    'vsockbox_scrape_samples_dropped{target="a"} 0',
    'vsockbox_scrape_samples_dropped{target="c"} 7',
    'vsockbox_clock_offset_seconds{target="a"} -1.5',
    'vsockbox_clock_offset_seconds{target="c"} -1.5',
    'vsockbox_guest_load1{target="a"} 1',
    'vsockbox_guest_load1{target="c"} 3',
  ]);
  expect(readExposition(text).size).toBe(5);
});

test("a guest cannot send samples in the name of another one, or twice", () => {
  const other = load(9, { target: "b", cid: "7" });
  const text = scrapedText([up("a", [other, load(8), load(7, { cid: "7" })]), up("b", [load(2)])]);
  const { samples = [] } = readExposition(text).get("vsockbox_guest_load1") ?? {};
  expect(samples.filter(({ labels }) => labels["target"] === "b")).toEqual([
    { labels: { target: "b" }, value: 2 },
  ]);
});

describe("the labels of a target", () => {
  test.each([
    ["3", { target: "web", cid: 3 }],
    ["vsock:4:5000", { target: "web", cid: 4 }],
    ["hybrid:/run/vm.vsock", { target: "web" }],
    ["unix:/run/x.sock", { target: "web" }],
  ])("are the word and, of %s, the CID", (address, labels) => {
    expect(targetLabels("web", resolveAddress(address, 5000))).toEqual(labels);
  });
});
