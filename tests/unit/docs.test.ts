/** What the documents say of the tree is so. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseConfiguration } from "../../src/config/profiles.ts";
import { vmsFromYaml } from "../../src/device/config/device-config.ts";
import { EXIT_STATUS } from "../../src/errors.ts";
import { sourceFiles } from "../support/imports.ts";
import { HABITS, proseOf } from "../support/wording.ts";
import { documentPages, examplesOf, KINDS, readPage } from "../support/readme.ts";

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

test("each promise of docs/comparison.md names a test that exists", () => {
  const rows = rowsOf(read("docs/comparison.md"), "held by");
  expect(rows.length).toBeGreaterThan(8);
  for (const row of rows) {
    expectTests(row);
    expect([row, row.includes('.ts: "')]).toEqual([row, true]);
  }
});

test("each cell of docs/comparison.md has a test of ours or a source", () => {
  const page = read("docs/comparison.md");
  const sources = new Set(
    [...page.matchAll(/^\[([\w-]+)\]: https:\/\/\S+$/gm)].map(([, name]) => name),
  );
  const tests = new Set(rowsOf(page, "held by").map((row) => row.split("|")[1]?.trim()));
  const rows = rowsOf(page, "ports");
  expect(rows).toHaveLength(11);
  for (const row of rows) {
    const [tool, ...cells] = row.split("|").slice(1, -1);
    expect([row, cells.length]).toEqual([row, 5]);
    for (const cell of cells) {
      const isOurs = tool?.trim() === "vsockbox";
      const pattern = isOurs ? /\(test (\d+)\)/g : /\[([\w-]+)\]/g;
      const references = [...cell.matchAll(pattern)].map(([, reference]) => reference ?? "");
      const known = references.filter((name) => (isOurs ? tests.has(name) : sources.has(name)));
      expect([cell, known]).toEqual([cell, references]);
      expect([cell, references.length > 0]).toEqual([cell, true]);
    }
  }
  for (const name of sources) expect(page).toContain(`[${name}]`);
});

test("each gap of docs/limits.md names what to do instead", () => {
  const gaps = read("docs/limits.md").match(/^- .*$/gm) ?? [];
  expect(gaps.length).toBeGreaterThan(10);
  for (const gap of gaps) expect(gap).toMatch(/[.)] Instead: \S.*\.$/);
});

test("each file and directory that CONTRIBUTING.md names exists", () => {
  const names = [
    ...read("CONTRIBUTING.md").matchAll(/`((?:src|tests|packaging|docs|bench)\/[^`\s*]*)`/g),
  ];
  expect(names.length).toBeGreaterThan(60);
  for (const [, path = ""] of names)
    expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
});

test("CONTRIBUTING.md names every command at the directory of its file", () => {
  const contributing = read("CONTRIBUTING.md");
  const index = read("src/commands/index.ts");
  const entries = [...index.matchAll(/name: "([a-z-]+)[^"]*", load: .*"\.\/([a-z]+)\//g)];
  const missing = entries.filter(([, name = "", directory = ""]) => {
    const [line = ""] = new RegExp(`^    ${directory}/ .*$`, "m").exec(contributing) ?? [];
    return !line.split(/[ ,]+/).includes(name);
  });
  expect(entries).toHaveLength(index.match(/import\("/g)?.length ?? 0);
  expect(missing.map(([, name, directory]) => `${directory}/${name}`)).toEqual([]);
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

/** The anchors of the headings of a page, as GitHub makes them. */
function anchorsOf(document: string): string[] {
  const prose = document.replace(/^```[\s\S]*?^```$/gm, "");
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
}

test.each(["CONTRIBUTING.md", "SECURITY.md", ...documentPages()])(
  "each link of %s leads to a file or a heading that exists",
  (page) => {
    const prose = read(page).replace(/^```[\s\S]*?^```$/gm, "");
    for (const [, link = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [file = "", heading] = link.split("#");
      const target = file === "" ? page : join(dirname(page), file);
      expect([link, existsSync(join(ROOT, target))]).toEqual([link, true]);
      if (heading !== undefined) expect(anchorsOf(read(target))).toContain(heading);
    }
  },
);

describe.each(documentPages())("%s", (page) => {
  const examples = examplesOf(page);

  test("has only blocks that a test runs, or that name the reason why not", () => {
    for (const { info, line } of examples) {
      const kinds = KINDS.filter((kind) => kind.info.test(info));
      expect([`${page}:${line}: ${info}`, kinds.length]).toEqual([`${page}:${line}: ${info}`, 1]);
    }
    expect(readPage(page).match(/^```/gm)?.length ?? 0).toBe(2 * examples.length);
  });

  test("has output only after commands", () => {
    const outputs = examples.filter(({ info }) => info.startsWith("output"));
    const commands = examples.filter(({ output }) => output !== undefined);
    expect(outputs.map(({ text }) => text)).toEqual(
      commands.map(({ output }) => output?.text ?? ""),
    );
  });

  test("has no socket in /tmp", () => {
    for (const { text } of examples) {
      expect(text).not.toMatch(/(?:unix|hybrid):\/tmp|--socket \/tmp|socket=\/tmp/);
    }
  });

  test("has no fixed pauses in its examples", () => {
    const pauses = examples.filter(
      ({ info, text }) => info.startsWith("sh") && /^sleep /m.test(text),
    );
    expect(pauses.map(({ line }) => `${page}:${line}`)).toEqual([]);
  });

  test("has long options in its examples, except those that a peer has", () => {
    const lines = examples
      .filter(({ info }) => info.startsWith("sh"))
      .flatMap(({ text }) => text.split("\n"))
      .filter((line) => !line.includes("shell-client"));
    for (const line of lines) {
      expect(line).not.toMatch(/vsockbox [a-z][^|;&'"(]*? -[A-Za-z]\b(?<! -- .*)/);
    }
  });

  test("has configurations that can be read", () => {
    for (const { info, text } of examples) {
      if (info === "yaml profiles")
        expect(parseConfiguration(text, page).profiles.size).toBeGreaterThan(0);
      if (info === "yaml devices") expect(vmsFromYaml(text, page).length).toBeGreaterThan(0);
      // A file, or a line for each object.
      const objects = text.startsWith("{\n") ? [text] : text.trim().split("\n");
      if (info === "json") for (const object of objects) JSON.parse(object);
    }
  });
});

test("each test that holds a kind of block exists", () => {
  for (const { heldBy } of KINDS)
    expect([heldBy, existsSync(join(ROOT, heldBy))]).toEqual([heldBy, true]);
});

test("each test that a skipped block names exists", () => {
  for (const page of documentPages()) {
    for (const { info } of examplesOf(page)) {
      for (const [path] of info.matchAll(/tests\/\S+\.ts/g)) {
        expect([page, path, existsSync(join(ROOT, path))]).toEqual([page, path, true]);
      }
    }
  }
});

test("each error of docs/troubleshooting.md has a text of the sources", () => {
  const paths = sourceFiles(join(ROOT, "src")).map((path) => join("src", path));
  const sources = [...paths, "packaging/self-contained/stub.c"].map(read).join("\n");
  const headings = [...read("docs/troubleshooting.md").matchAll(/^### `(.*)`$/gm)];
  expect(headings.length).toBeGreaterThan(20);
  for (const [, heading = ""] of headings) {
    const parts = heading.split(/…|[()]/).map((part) => part.trim());
    for (const part of parts.filter((text) => text.length > 3)) {
      expect([heading, part, sources.includes(part)]).toEqual([heading, part, true]);
    }
  }
});

test("docs/exit-status.md has each code with its number", () => {
  const rows = [...read("docs/exit-status.md").matchAll(/^\| (\d+) +\| `([A-Z_]+)`/gm)];
  for (const [code, status] of Object.entries(EXIT_STATUS)) {
    expect(rows.map(([, number, name]) => `${name} ${number}`)).toContain(`${code} ${status}`);
  }
});

test("docs/README.md lists every page", () => {
  const index = read("docs/README.md");
  for (const page of documentPages()) {
    const name = page.replace(/^docs\//, "");
    if (name === "README.md") continue;
    expect([page, index.includes(`(${name})`)]).toEqual([page, true]);
  }
});

/** Pages that are tables throughout, without a task of their own. */
const WITHOUT_EXAMPLE = new Set(["docs/limits.md", "docs/logging.md", "docs/security.md"]);

test.each(documentPages().filter((page) => !WITHOUT_EXAMPLE.has(page)))(
  "%s begins with one paragraph and an example",
  (page) => {
    const [title = "", paragraph = "", ...blocks] = read(page).split("\n\n");
    expect(title).toMatch(/^# \S[^\n]*$/);
    expect(paragraph).toMatch(/^[A-Z`v][^\n]*\.$/);
    // A sentence may name what the example shows.
    const isExample = blocks.slice(0, 2).some((block) => block.startsWith("```"));
    expect([page, isExample]).toEqual([page, true]);
  },
);

test.each(["SECURITY.md", ...documentPages()])("%s has the field's terms", (page) => {
  // Titles of tests are quoted.
  const prose = proseOf(read(page)).replaceAll(/"[^"]*"/g, "");
  for (const { name, pattern, instead, hasRightUse } of HABITS) {
    if (hasRightUse === true) continue;
    expect({ page, name, instead, found: prose.match(pattern) }).toMatchObject({ found: null });
  }
});
