/**
 * The language of the sources: texts that users see have none of the words that tests/support/wording.ts
 * lists, and comments have them no more often than the projects that they were compared with.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceFiles } from "../support/imports.ts";
import { commentsOf, countHabits, countWords, HABITS, sentencesOf } from "../support/wording.ts";

const ROOT = join(import.meta.dir, "../../src");
const files = sourceFiles(ROOT).map((path) => ({
  path,
  text: readFileSync(join(ROOT, path), "utf8"),
}));

/** Uses in 10,000 words of comments: about twice those of gh and of Firecracker's vsock device. */
const LIMIT = 8;

test("texts that users see have the field's terms", () => {
  const strict = HABITS.filter(
    ({ hasRightUse, isNotInTexts }) => hasRightUse !== true || isNotInTexts === true,
  );
  const found = files.flatMap(({ path, text }) =>
    sentencesOf(text)
      .filter((sentence) => strict.some(({ pattern }) => sentence.match(pattern) !== null))
      .map((sentence) => `${path}: ${sentence}`),
  );
  expect(found).toEqual([]);
});

test("comments have each habit seldom", () => {
  const comments = files.map(({ text }) => commentsOf(text)).join("\n");
  const words = countWords(comments);
  expect(words).toBeGreaterThan(30_000);
  const often = [...countHabits(comments)]
    .map(([name, count]) => ({ name, in10000: (count * 10_000) / words }))
    .filter(({ in10000 }) => in10000 > LIMIT);
  expect(often).toEqual([]);
});

test("the check finds a habit in a comment and in a text, but not in code", () => {
  const source = 'const behind = 1; // somebody waits\nfail("nobody listens here");\n';
  const count = (text: string) =>
    [...countHabits(text).values()].reduce((sum, one) => sum + one, 0);
  expect(commentsOf(source).trim()).toBe("somebody waits");
  expect(count(commentsOf(source))).toBe(1);
  expect(sentencesOf(source)).toEqual(["nobody listens here"]);
  expect(count("a descriptor that is ready")).toBe(0);
});
