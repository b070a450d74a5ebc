import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { expandGlob } from "../../../src/files/glob.ts";
import { TemporaryFolder } from "../../support/binary.ts";

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const NAMES = ["a", "ab", "abab", "b.txt", "a.b.txt", ".hidden", "x[y", "a*b", "a".repeat(200)];
for (const name of NAMES) writeFileSync(folder.file(name), "");

const matches = (pattern: string) =>
  expandGlob(Buffer.from(folder.file(pattern)), 1000).map((path) =>
    path.toString().slice(folder.path.length + 1),
  );

describe("expandGlob", () => {
  test.each<[pattern: string, names: string[]]>([
    ["a", ["a"]],
    ["?", ["a"]],
    ["ab*", ["ab", "abab"]],
    ["ab*ab", ["abab"]],
    ["*ab*ab", ["abab"]],
    ["a*b", ["a*b", "ab", "abab"]],
    ["a\\*b", ["a*b"]],
    ["*.txt", ["a.b.txt", "b.txt"]],
    ["[!a]*", ["b.txt", "x[y"]],
    ["[a-b]", ["a"]],
    ["[z-a]*", []],
    [".h*", [".hidden"]],
    ["x[y*", ["x[y"]],
    ["**b**", ["a*b", "a.b.txt", "ab", "abab", "b.txt"]],
    ["abab*ab", []],
  ])("%p", (pattern, names) => {
    expect(matches(pattern)).toEqual(names);
  });

  test("many stars take no time that grows with their number", () => {
    const begin = performance.now();
    expect(matches(`${"*a".repeat(50)}*b`)).toEqual([]);
    expect(performance.now() - begin).toBeLessThan(1000);
  });
});
