import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { componentMatcher, expandGlob } from "../../../src/files/glob.ts";

const matches = (pattern: string, name: string) => componentMatcher(pattern)(name);

describe("componentMatcher", () => {
  test.each([
    ["*.c", "main.c", true],
    ["*.c", "main.h", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["[a-cx]", "b", true],
    ["[a-cx]", "x", true],
    ["[!a-c]", "b", false],
    ["[^a-c]", "d", true],
    ["[]x]", "]", true],
    ["[!]x]", "]", false],
    ["[!]x]", "a", true],
    ["[a-]", "-", true],
    ["[z-a]", "m", false],
    ["[", "[", true],
    ["\\*", "*", true],
    ["\\*", "x", false],
    ["\\", "\\", true],
    ["**", "", true],
    ["", "", true],
  ])("%j against %j: %p", (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  // One that tries all ways to share the letters among the stars would never end.
  test("many stars come to an end", () => {
    expect(matches(`${"*a".repeat(100)}*b`, "a".repeat(255))).toBe(false);
  });
});

test("expandGlob gives no more than the limit, over all directories", () => {
  const folder = mkdtempSync(join(tmpdir(), "vsockbox-test-"));
  try {
    for (const directory of ["a", "b", "c"]) {
      mkdirSync(join(folder, directory));
      for (const name of ["1", "2", "3"]) writeFileSync(join(folder, directory, name), "");
    }
    const pattern = Buffer.from(`${folder}/*/*`);
    expect(expandGlob(pattern, 100)).toHaveLength(9);
    expect(expandGlob(pattern, 4)).toHaveLength(4);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
