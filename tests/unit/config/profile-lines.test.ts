import { expect, test } from "bun:test";
import { type KeyLocation, locateKeys, yamlErrorLine } from "../../../src/config/profile-lines.ts";

type Tree = { [name: string]: [number[], Tree] };

const treeOf = (keys: ReadonlyMap<string, KeyLocation>): Tree =>
  Object.fromEntries(
    [...keys].map(([name, { lines, keys: below }]) => [name, [lines, treeOf(below)]]),
  );

const located = (...lines: string[]) => treeOf(locateKeys(lines.join("\n")));

test("keys are found with their lines, below the key that encloses them", () => {
  expect(
    located("vms:", "  web:", "    address: 3", "  db:", "    address: 4", "other: 1"),
  ).toEqual({
    vms: [
      [1],
      {
        web: [[2], { address: [[3], {}] }],
        db: [[4], { address: [[5], {}] }],
      },
    ],
    other: [[6], {}],
  });
});

test("a key that is there twice has both lines, quoted in whichever way", () => {
  expect(located("a: 1", "'a': 2", '"a": 3', "# a: 4", "- a: 5", "a:6", "a :")).toEqual({
    a: [[1, 2, 3, 7], {}],
  });
});

test("lines end in any way", () => {
  expect(treeOf(locateKeys("a:\r\n  b: 1\r  c: 2\n"))).toEqual({
    a: [[1], { b: [[2], {}], c: [[3], {}] }],
  });
});

test.each([
  ["a: 1\nb: 2\n", undefined],
  ["", undefined],
  ["a: [1", 1],
  ["a: 1\nb: [2", 2],
  ["a: 1\nb: 2\nc: [3\nd: 4", 3],
])("the error in %j is in line %p", (text, line) => {
  expect(yamlErrorLine(text)).toBe(line);
});

test("the error is searched for in texts of up to 2000 lines", () => {
  const text = (lines: number) => `${"# comment\n".repeat(lines - 1)}a: [1`;
  expect(yamlErrorLine(text(2000))).toBe(2000);
  expect(yamlErrorLine(text(2001))).toBeUndefined();
});
