import { describe, expect, test } from "bun:test";
import { helpColumns, rows, wrap } from "../../../src/ui/wrap.ts";

test.each([
  ["", 10, []],
  ["one two three", 7, ["one two", "three"]],
  ["one two three", 6, ["one", "two", "three"]],
  ["longer-than-that a", 6, ["longer-than-that", "a"]],
  ["one  two", 20, ["one two"]],
])("%j in %d columns", (text, columns, lines) => {
  expect(wrap(text, columns)).toEqual(lines);
});

test.each([
  [undefined, undefined, 80],
  [undefined, 132, 132],
  ["60", 132, 60],
  ["x", 132, 132],
  ["", undefined, 80],
  ["0", undefined, 80],
  ["5", undefined, 20],
  ["99999", 100, 100],
])("COLUMNS=%p on a terminal of %p columns means %d", (variable, terminal, columns) => {
  expect(helpColumns(variable, terminal)).toBe(columns);
});

describe("a list of terms", () => {
  test("has the description of a long term on the next line, in the same column", () => {
    const list = [
      { term: "-q", description: "quiet" },
      { term: "--a-term-that-is-far-too-long-for-the-column", description: "long" },
    ];
    expect(rows(list, 80)).toEqual([
      "  -q  quiet",
      "  --a-term-that-is-far-too-long-for-the-column",
      "      long",
    ]);
  });

  test("has two columns at 60, and lines of their own at 59", () => {
    const list = [{ term: "term", description: "word ".repeat(20).trim() }];
    expect(rows(list, 60)[0]).toStartWith("  term  word");
    expect(rows(list, 59)[0]).toBe("  term");
    expect(rows(list, 59)[1]).toStartWith("        word");
    expect(rows([{ term: "term", description: "x" }], 30)).toEqual(["  term  x"]);
  });
});
