/**
 * The modules that a command loads before it works: each of them makes every start slower. The limits
 * are what there is today and some space; who needs more loads it where it is used, by `await import()`.
 */
import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { importsOf } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../../src");

/** The files that `entries` load, without lazy imports. */
function loadedBy(entries: readonly string[]): string[] {
  const loaded = new Set<string>();
  const queue = [...entries];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (loaded.has(file)) continue;
    loaded.add(file);
    const imports = importsOf(ROOT, file).filter(({ isType, isLazy }) => !isType && !isLazy);
    queue.push(...imports.map(({ to }) => to).filter((to) => to.endsWith(".ts")));
  }
  return [...loaded].sort();
}

const bytesOf = (files: readonly string[]) =>
  files.reduce((sum, file) => sum + statSync(join(ROOT, file)).size, 0);

/** The files that start a command, the most modules, and the most bytes of their text. */
const LIMITS: [string[], number, number][] = [
  [["main.ts"], 24, 80_000],
  [["main.ts", "commands/run/exec.ts"], 132, 565_000],
  [["main.ts", "commands/bytes/connect.ts"], 70, 286_000],
  [["main.ts", "commands/files/ls.ts"], 127, 547_000],
  [["main.ts", "commands/files/cp.ts"], 162, 715_000],
];

describe("at its start", () => {
  test.each(LIMITS)(
    "%j loads at most %d modules, and %d bytes of them",
    (entries, modules, bytes) => {
      const files = loadedBy(entries);
      expect(files.length).toBeLessThanOrEqual(modules);
      expect(bytesOf(files)).toBeLessThanOrEqual(bytes);
    },
  );

  const FOREIGN = /^(agent\/(server|transfer)|device|diagnose|monitor|library|install|initramfs)\//;

  test("a command in a guest loads nothing of services, transfers, diagnosis or the library", () => {
    const files = loadedBy(["main.ts", "commands/run/exec.ts"]);
    expect(files.filter((file) => FOREIGN.test(file))).toEqual([]);
  });
});
