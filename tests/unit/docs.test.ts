/** What the documents say of the tree is so. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sourceFiles } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** Rows of the tables of a document whose last column has this heading. */
function rowsOf(document: string, lastColumn: string): string[] {
  const rows: string[] = [];
  let isWanted = false;
  let isInTable = false;
  for (const line of document.split("\n")) {
    const isRow = line.startsWith("|");
    if (isRow && !isInTable) isWanted = line.split("|").at(-2)?.trim() === lastColumn;
    else if (isRow && isWanted && !/^[|\s:-]+$/.test(line)) rows.push(line);
    isInTable = isRow;
  }
  return rows;
}

/** Checks that the last cell of a row names tests, and that all of them exist. */
function expectTests(row: string): void {
  const cell = row.split("|").at(-2) ?? "";
  const files = cell.matchAll(/(tests\/\S+\.ts)((?:: |, )?"[^"]*"(?:, "[^"]*")*)?/g);
  let count = 0;
  for (const [, path = "", titles = ""] of files) {
    count++;
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
    const text = read(path);
    for (const [, title = ""] of titles.matchAll(/"([^"]*)"/g)) {
      expect([path, title, text.includes(`"${title}"`)]).toEqual([path, title, true]);
    }
  }
  expect([row, count > 0]).toEqual([row, true]);
}

test("each test that docs/vhost-device-vsock.md names is there", () => {
  // Two tables, each with a head and a line of dashes.
  const rows = read("docs/vhost-device-vsock.md")
    .split("\n\n")
    .filter((block) => block.startsWith("|"))
    .flatMap((table) => table.split("\n").slice(2));
  expect(rows).toHaveLength(7 + 4);
  for (const row of rows) expectTests(row);
});

test("each promise of docs/security.md names a test that exists", () => {
  const rows = rowsOf(read("docs/security.md"), "held by");
  expect(rows.length).toBeGreaterThan(30);
  for (const row of rows) {
    expectTests(row);
    // A file alone would not show which of its tests.
    expect([row, row.includes('.ts: "')]).toEqual([row, true]);
  }
});

test("each file and directory that CONTRIBUTING.md names exists", () => {
  const names = [
    ...read("CONTRIBUTING.md").matchAll(/`((?:src|tests|packaging|docs|bench)\/[^`\s*]*)`/g),
  ];
  expect(names.length).toBeGreaterThan(60);
  for (const [, path = ""] of names)
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
});

test("CONTRIBUTING.md shows every directory of src", () => {
  const [, tree = ""] = /```\nsrc\/\n([\s\S]*?)```/.exec(read("CONTRIBUTING.md")) ?? [];
  const shown = new Set([...tree.matchAll(/([a-z-]+)\//g)].map(([, name]) => name));
  const directories = new Set(
    sourceFiles(join(ROOT, "src"))
      .flatMap((path) =>
        dirname(path)
          .split("/")
          .slice(0, path.startsWith("protocols/") ? 1 : 2),
      )
      .filter((name) => name !== "."),
  );
  const missing = [...directories].filter((name) => !shown.has(name));
  expect(missing).toEqual([]);
});
