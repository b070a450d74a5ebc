/** docs/performance.md and its plots are made of `bench/results/`. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PAGE, PLOTS, recordedTables, section, withTables } from "../../bench/document.ts";
import { ratioPlot } from "../../bench/ratio-plot.ts";
import {
  alone,
  type BenchTable,
  compared,
  conditions,
  markdown,
  rounded,
  versionOf,
} from "../../bench/table.ts";

const tables = recordedTables();
const page = readFileSync(PAGE, "utf8");

/** Without the width of columns, which the formatter decides. */
const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");

describe("the page", () => {
  test.each([...tables.keys()])("has the table of %s as it was recorded", (id) => {
    const table = tables.get(id);
    if (table === undefined) throw new Error("no table");
    expect(table.id).toBe(id);
    expect(plain(page)).toContain(
      plain(`<!-- table ${id} -->\n\n${section(table)}\n\n<!-- end -->`),
    );
  });

  test("has no table that is not recorded", () => {
    const shown = [...page.matchAll(/<!-- table (\S+) -->/g)].map(([, id]) => id);
    expect(shown.toSorted()).toEqual([...tables.keys()].toSorted());
    expect(plain(withTables(page, tables))).toBe(plain(page));
  });

  test("has a plot of each table with ratios, made of the same numbers", () => {
    const plots = [...tables].flatMap(([id, table]) => {
      const svg = ratioPlot(table);
      return svg === undefined ? [] : [[`${id}.svg`, svg] as const];
    });
    expect(readdirSync(PLOTS).toSorted()).toEqual(plots.map(([name]) => name).toSorted());
    for (const [name, svg] of plots) {
      expect([name, readFileSync(join(PLOTS, name), "utf8") === svg]).toEqual([name, true]);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  test("names only scripts that exist, and all that measure", () => {
    const named = [...page.matchAll(/^\| `(bench\/[a-z-]+\.ts)`/gm)].map(([, path = ""]) => path);
    for (const path of named) expect(existsSync(join(PAGE, "../..", path))).toBe(true);
    expect(named).toHaveLength(7);
  });

  test("and the tables have no path of the system that measured", () => {
    const all = [page, ...[...tables.values()].map((table) => JSON.stringify(table))].join("\n");
    expect(all).not.toMatch(/\/(?:work|home|root|tmp)\//);
  });
});

const table = (rows: BenchTable["rows"]): BenchTable => ({
  ...{ id: "x", title: "A table", rows },
  machine: { runtime: "Bun 1", system: "Linux", cores: 2, processor: "P" },
  peers: [
    { name: "one", version: "1.2" },
    { name: "two", version: null },
  ],
});
const ms = (value: number) => ({ value, unit: "ms" });
const one = (value: number) => ({ name: "one", ...ms(value) });

describe("a table", () => {
  test("has the ratio above 1 if ours is better, in either direction", () => {
    expect(compared("a", ms(2), one(5), "less").ratio).toBe(2.5);
    expect(compared("a", ms(2), one(5), "more").ratio).toBe(0.4);
  });

  test("names the peer in the head if all rows have the same", () => {
    expect(markdown(table([compared("a", ms(2), one(5), "less")]))).toBe(
      "| what | vsockbox | one | ratio |\n| --- | --- | --- | --- |\n| a | 2.0 ms | 5.0 ms | 2.50 |",
    );
  });

  test("names the peer in each row if they differ, and has empty cells", () => {
    const rows = [compared("a", ms(2), one(5), "less"), alone("b", 1225.4, "/s")];
    expect(
      markdown(table(rows))
        .split("\n")
        .slice(0, 1)
        .concat(markdown(table(rows)).split("\n").slice(2)),
    ).toEqual([
      "| what | vsockbox | beside it | ratio |",
      "| a | 2.0 ms | one: 5.0 ms | 2.50 |",
      "| b | 1225/s |  |  |",
    ]);
  });

  test("has neither column if nothing is beside any row", () => {
    expect(markdown(table([alone("b", 59, "MiB")]))).toBe(
      "| what | vsockbox |\n| --- | --- |\n| b | 59 MiB |",
    );
  });

  test("names the peers with their versions", () => {
    expect(conditions(table([]))).toBe(
      "Bun 1, Linux, 2 cores (P); beside one 1.2, two (version not recorded)",
    );
  });

  test("rounds as its unit is shown", () => {
    expect([rounded(0.404, "s/GiB"), rounded(1718.4, "MB/s"), rounded(38.04, "MiB")]).toEqual([
      ...[0.4, 1718, 38],
    ]);
    expect(versionOf("no-such-program-here")).toBeNull();
  });

  test("has a plot only if it has ratios; bars begin at 1", () => {
    expect(ratioPlot(table([alone("b", 1, "ms")]))).toBeUndefined();
    const svg = ratioPlot(
      table([compared("better", ms(1), one(4), "less"), compared("worse", ms(4), one(1), "less")]),
    );
    const bars = [
      ...(svg ?? "").matchAll(
        /<rect style="fill: var\(--c(\d)\)" x="([\d.]+)" y="\d+" width="([\d.]+)"/g,
      ),
    ];
    expect(bars.map(([, colour]) => colour)).toEqual(["0", "1"]);
    const [[, , left = "0"] = [], [, , x = "0", width = "0"] = []] = bars;
    expect(Number(x) + Number(width)).toBeCloseTo(Number(left), 0);
  });
});
