/** A short option means the same in every command: the tables of docs/cli.md are the rule. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadCommands } from "../../../src/commands/index.ts";
import { kebabCase } from "../../../src/ui/argument.ts";

const page = readFileSync(join(import.meta.dir, "../../../docs/cli.md"), "utf8");
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) => [...line.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code));

/** Letters with their long options. */
const meanings = new Map(
  rows
    .filter(([first = "", second]) => /^-[A-Za-z]$/.test(first) && second !== undefined)
    .map(([letter = "", ...options]) => [letter, options.filter((word) => word.startsWith("--"))]),
);

/** `command -x --long` of programs whose letters another program has fixed. */
const exceptions = rows
  .filter(([, second = ""]) => /^-[A-Za-z]$/.test(second))
  .map((words) => words.join(" "));

/** Short options of all commands. */
const used = (await loadCommands()).flatMap(({ name, args }) =>
  Object.entries(args).flatMap(([option, { short }]) =>
    short === undefined ? [] : [{ name, letter: `-${short}`, long: `--${kebabCase(option)}` }],
  ),
);

describe("a short option", () => {
  test("has the meaning of docs/cli.md in every command", () => {
    expect(meanings.size).toBeGreaterThan(20);
    expect(exceptions).toHaveLength(10);
    const wrong = used.filter(
      ({ name, letter, long }) =>
        meanings.get(letter)?.includes(long) !== true &&
        !exceptions.includes(`${name} ${letter} ${long}`),
    );
    expect(wrong).toEqual([]);
  });

  test("is in docs/cli.md only if a command has it", () => {
    const known = new Set(used.flatMap(({ letter, long }) => `${letter} ${long}`));
    const stated = [...meanings].flatMap(([letter, options]) =>
      options.map((option) => `${letter} ${option}`),
    );
    const missing = stated.filter((text) => !known.has(text));
    expect(missing).toEqual(["-h --help", "-V --version"]);
    for (const text of exceptions) {
      expect(used.map(({ name, letter, long }) => `${name} ${letter} ${long}`)).toContain(text);
    }
  });

  test("is the only one of its letter in a command", () => {
    const keys = used.map(({ name, letter }) => `${name} ${letter}`);
    expect(keys.length).toBe(new Set(keys).size);
    expect(keys.filter((key) => key.endsWith("-h"))).toEqual([]);
  });
});
