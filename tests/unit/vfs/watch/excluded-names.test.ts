import { expect, test } from "bun:test";
import { excludedNames } from "../../../../src/vfs/watch/excluded-names.ts";

test("names are excluded by patterns, whatever directory they are in", () => {
  const isExcluded = excludedNames([".git", "*.tmp", "ä?"]);
  const excluded = (path: string | Uint8Array) => isExcluded?.(Buffer.from(path as string));
  expect([".git", "a/.git", "a/b.tmp", ".tmp", "x/ä1"].map(excluded)).toEqual([
    ...[true, true, true, true, true],
  ]);
  expect(["git", ".git/a", ".github", "a.tmpx", "ä"].map(excluded)).toEqual([
    ...[false, false, false, false, false],
  ]);
});

test("patterns match names that are not UTF-8", () => {
  const name = Buffer.concat([Buffer.of(0xff), Buffer.from(".tmp")]);
  expect(excludedNames(["*.tmp"])?.(name)).toBe(true);
  expect(excludedNames(["?.tmp"])?.(name)).toBe(true);
});

test("without patterns nothing is examined", () => {
  expect(excludedNames([])).toBeUndefined();
});
