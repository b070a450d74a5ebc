/** What the documents say of the tree is so. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

test("each test that docs/vhost-device-vsock.md names is there", () => {
  const rows = read("docs/vhost-device-vsock.md")
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2);
  expect(rows).toHaveLength(7);
  for (const row of rows) {
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
    expect(count).toBeGreaterThan(0);
  }
});
