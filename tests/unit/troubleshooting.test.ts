/** docs/troubleshooting.md has a row for each code of an error, and headings that are texts of the sources. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoMessage } from "../../src/system-errors.ts";
import { EXIT_STATUS } from "../../src/errors.ts";
import { sourceFiles } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../..");
const PAGE = readFileSync(join(ROOT, "docs/troubleshooting.md"), "utf8");

/** All sources as one text, with `…` in place of each value that is put into a text. */
function sourceTexts(): string {
  const paths = sourceFiles(join(ROOT, "src")).map((path) => join(ROOT, "src", path));
  const texts = [...paths, join(ROOT, "packaging/self-contained/stub.c")].map((path) =>
    readFileSync(path, "utf8"),
  );
  const errnos = Array.from({ length: 134 }, (_, errno) => errnoMessage(errno));
  return [...texts, ...errnos].join("\n").replaceAll(/\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}/g, "…");
}

test("each code has a row with its exit status", () => {
  const rows = [...PAGE.matchAll(/^\| (\d+) +\| `([A-Z_]+)` +\| \[/gm)].map(([, status, code]) => [
    code,
    Number(status),
  ]);
  expect(Object.fromEntries(rows)).toEqual({ ...EXIT_STATUS });
});

test("each heading is a text of the sources", () => {
  const headings = [...PAGE.matchAll(/^### `(.+)`$/gm)].map(([, text = ""]) => text);
  expect(headings.length).toBeGreaterThan(35);
  const texts = sourceTexts();
  const missing = headings.flatMap((heading) =>
    heading
      .replace(/ \(E[A-Z]+\)$/, "")
      .split("…")
      .map((part) => part.trim())
      .filter((part) => part.length > 2 && !texts.includes(part))
      .map((part) => `${heading}: ${part}`),
  );
  expect(missing).toEqual([]);
});

test("each link to a heading of the page leads to one", () => {
  const anchors = new Set(
    [...PAGE.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
  const links = [...PAGE.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = ""]) => anchor);
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((anchor) => !anchors.has(anchor))).toEqual([]);
});
