/** Functions of the tests are short enough to be read at once; groups of tests may be longer. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceFiles } from "../../support/imports.ts";
import { measuredFunctions } from "../../support/long-functions.ts";

const TESTS = join(import.meta.dir, "../..");

/** Lines of a body. */
const LIMIT = 100;

test("no function of the tests has more than 100 lines", () => {
  const measured = sourceFiles(TESTS).flatMap((path) =>
    measuredFunctions(readFileSync(join(TESTS, path), "utf8")).map(({ kind, line, lineCount }) => {
      return { kind, lineCount, place: `${path}:${line}` };
    }),
  );
  expect(measured.length).toBeGreaterThan(3000);
  const long = measured.filter(({ kind, lineCount }) => kind !== "group" && lineCount > LIMIT);
  expect(long.map(({ place, lineCount }) => `${place}: ${lineCount}`)).toEqual([]);
});

test("functions, tests and groups of tests are measured in every form", () => {
  const source = `describe.each([1])("a", (x) => {
  test("b", () => {
    if (x) {
      y();
    }
  });
  test.each([
    1,
  ])("c", async () => {
  });
});
function d(
  x: number,
): Promise<void> {
  return;
}
class E {
  #f(): void {
  }
}
const g = (x) => {
  x();
};`;
  expect(
    measuredFunctions(source).map(({ kind, line, lineCount }) => [kind, line, lineCount]),
  ).toEqual([
    ["group", 1, 9],
    ["test", 2, 3],
    ["test", 9, 0],
    ["function", 14, 1],
    ["function", 18, 0],
    ["function", 21, 1],
  ]);
});
