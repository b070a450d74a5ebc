/**
 * The language of the sources: texts that users see and titles of tests have none of the words that
 * tests/support/wording.ts lists, and comments have them no more often than the projects that they were compared with.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceFiles } from "../support/imports.ts";
import {
  commentsOf,
  countHabits,
  countWords,
  HABITS,
  sentencesOf,
  titlesOf,
} from "../support/wording.ts";

const ROOT = join(import.meta.dir, "../../src");
const files = sourceFiles(ROOT).map((path) => ({
  path,
  text: readFileSync(join(ROOT, path), "utf8"),
}));

/** Uses in 10,000 words of comments: about twice those of gh and of Firecracker's vsock device. */
const LIMIT = 8;

/** The same for titles of tests: "leaves no file" is a frequent and right one. */
const TITLES_LIMIT = 25;

const strict = HABITS.filter(
  ({ hasRightUse, isNotInTexts }) => hasRightUse !== true || isNotInTexts === true,
);

test("texts that users see have the field's terms", () => {
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

const TESTS = join(import.meta.dir, "..");
const titles = sourceFiles(TESTS).flatMap((path) =>
  titlesOf(readFileSync(join(TESTS, path), "utf8")).map((title) => ({ path, title })),
);

test("titles of tests have the field's terms", () => {
  expect(titles.length).toBeGreaterThan(3000);
  const found = titles.filter(({ title }) =>
    strict.some(({ pattern }) => title.match(pattern) !== null),
  );
  expect(found.map(({ path, title }) => `${path}: ${title}`)).toEqual([]);
});

test("titles of tests have each habit seldom", () => {
  const text = titles.map(({ title }) => title).join("\n");
  const words = countWords(text);
  const often = [...countHabits(text)]
    .map(([name, count]) => ({ name, in10000: (count * 10_000) / words }))
    .filter(({ in10000 }) => in10000 > TITLES_LIMIT);
  expect(often).toEqual([]);
});

test("titles are found in every form of a test", () => {
  const source = `describe("one", () => {});
    test.each([[1, "no"]])("two %p", (x) => {});
    test.if(isRoot)("three", () => {});
    describeWith(["tmux"], "four", () => {});
    expect("no").toBe("no");
    test.each<[string]>([
      ["no"],
    ])(
      "five",
      async () => {},
    );`;
  expect(titlesOf(source)).toEqual(["one", "two %p", "three", "four", "five"]);
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
