import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { componentMatcher, expandGlob, pathMatcher } from "../../../src/files/glob.ts";

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

test("expandGlob returns no more than the limit, over all directories", () => {
  const scratch = mkdtempSync(join(tmpdir(), "vsockbox-test-"));
  try {
    for (const directory of ["a", "b", "c"]) {
      mkdirSync(join(scratch, directory));
      for (const name of ["1", "2", "3"]) writeFileSync(join(scratch, directory, name), "");
    }
    const pattern = Buffer.from(`${scratch}/*/*`);
    expect(expandGlob(pattern, 100)).toHaveLength(9);
    expect(expandGlob(pattern, 4)).toHaveLength(4);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

describe("pathMatcher", () => {
  test.each([
    ["/var/log/*.log", "/var/log/a.log", true],
    ["/var/log/*.log", "/var/log/.log", false],
    ["/var/log/*.log", "/var/log/a.txt", false],
    ["/var/log/*.log", "/var/log/a.log/", false],
    ["/var/log/*.log", "//var/log/a.log", false],
    ["/var/log/*.log", "/var//log/a.log", false],
    ["/var/log/*.log", "/var/log/x/a.log", false],
    ["/var/log/*.log", "var/log/a.log", false],
    ["/var/log/*.log", "/etc/log/a.log", false],
    ["/var/*/a", "/var/../a", false],
    ["/var/*/a", "/var/./a", false],
    ["/var/*/a", "/var//a", false],
    [".*", "..", false],
    [".*", ".", false],
    [".*", ".x", true],
    ["*", ".bashrc", false],
    ["*", "", false],
    ["*", "a/b", false],
    ["*", "a\0b", false],
    ["*", "n".repeat(255), true],
    ["*", "n".repeat(256), false],
    ["a*", "/a1", false],
    ["./a*", "./a1", true],
    ["./a*", "a1", false],
    ["../a*", "../a1", true],
    ["dir*/", "dir1", true],
    ["//a//b*", "/a/b1", true],
    ["a\\*/b?", "a*/bc", true],
    ["a\\*/b?", "ax/bc", false],
    ["\\a/*", "a/x", true],
    ["/x/[ab]", "/x/b", true],
    ["/x/[ab]", "/x/c", false],
    ["*\xff", "a\xff", true],
  ])("%j against %j: %p", (pattern, path, expected) => {
    const bytes = (text: string) => Buffer.from(text, "latin1");
    expect(pathMatcher(bytes(pattern))(bytes(path))).toBe(expected);
  });

  test("every result of expandGlob matches the pattern", () => {
    const scratch = mkdtempSync(join(tmpdir(), "vsockbox-test-"));
    try {
      for (const directory of ["a", ".b", "c d"]) {
        mkdirSync(join(scratch, directory));
        for (const name of ["1", ".2", "[x]", "ł*"])
          writeFileSync(join(scratch, directory, name), "");
      }
      const patterns = ["*/*", ".*/*", "*/.*", "[.ac]*/?", "*/\\[x]*", "./*/*", "//*///1/"];
      let found = 0;
      for (const pattern of patterns.map((text) => Buffer.from(`${scratch}/${text}`))) {
        for (const path of expandGlob(pattern, 100)) {
          expect(pathMatcher(pattern)(path)).toBe(true);
          found++;
        }
      }
      expect(found).toBeGreaterThan(15);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});
