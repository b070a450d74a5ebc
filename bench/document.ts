/**
 * Makes the tables and plots of docs/performance.md from `results/*.json`; `bun run bench/document.ts`.
 * `tests/unit/performance.test.ts` holds that the page has what the files have.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ratioPlot } from "./ratio-plot.ts";
import { type BenchTable, conditions, markdown, readTable } from "./table.ts";

const ROOT = join(import.meta.dir, "..");

/** The page that has the tables. */
export const PAGE = join(ROOT, "docs/performance.md");

/** The directory of the plots. */
export const PLOTS = join(ROOT, "docs/performance");

const RESULTS = join(import.meta.dir, "results");

/** Returns all recorded tables by their id. */
export function recordedTables(): ReadonlyMap<string, BenchTable> {
  const files = readdirSync(RESULTS).filter((name) => name.endsWith(".json"));
  return new Map(
    files.toSorted().map((name) => [basename(name, ".json"), readTable(join(RESULTS, name))]),
  );
}

/** Returns what stands between the marks of a table on the page. */
export function section(table: BenchTable): string {
  const plot =
    ratioPlot(table) === undefined
      ? ""
      : `\n\n![Ratios: ${table.title}](${basename(PLOTS)}/${table.id}.svg)`;
  return `${conditions(table)}:\n\n${markdown(table)}${plot}`;
}

/** Returns the page with the text between `<!-- table ID -->` and `<!-- end -->` made anew. */
export function withTables(page: string, tables: ReadonlyMap<string, BenchTable>): string {
  return page.replaceAll(
    /(<!-- table ([a-z-]+) -->\n)[^]*?(\n<!-- end -->)/g,
    (_whole, begin: string, id: string, end: string) => {
      const table = tables.get(id);
      if (table === undefined) throw new Error(`docs/performance.md: there is no table ${id}`);
      return `${begin}\n${section(table)}\n${end}`;
    },
  );
}

if (import.meta.main) {
  const tables = recordedTables();
  writeFileSync(PAGE, withTables(readFileSync(PAGE, "utf8"), tables));
  for (const table of tables.values()) {
    const svg = ratioPlot(table);
    if (svg === undefined) continue;
    const file = join(PLOTS, `${table.id}.svg`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, svg);
  }
  console.log("written; `npm run fmt` aligns the tables");
}
