import { expect, test } from "bun:test";
import { type FittedColumn, fittedTable } from "../../../src/text/fitted-table.ts";

type Row = readonly [string, string, string, string];
const column = (title: string, at: number, rank: number): FittedColumn<Row> => ({
  title,
  rank,
  cell: (row) => row[at] ?? "",
});

const COLUMNS: readonly FittedColumn<Row>[] = [
  { ...column("ID", 0, 0), isNumber: true },
  column("NAME", 1, 2),
  { ...column("SIZE", 2, 1), isNumber: true },
  { ...column("COMMAND", 3, 3), isCut: true },
];
const ROWS: readonly Row[] = [
  ["7", "宿主", "12 KiB", "sleep 10"],
  ["10", "b", "3 B", "x".repeat(60)],
];

test("columns are aligned, numbers to the right, by their width on the terminal", () => {
  expect(fittedTable(COLUMNS, ROWS, 100)).toEqual([
    "ID  NAME    SIZE  COMMAND",
    " 7  宿主  12 KiB  sleep 10",
    `10  b        3 B  ${"x".repeat(60)}`,
  ]);
});

test("the last column is cut to the width that is left, if that is enough for it", () => {
  const lines = fittedTable(COLUMNS, ROWS, 46);
  expect(lines[2]).toBe(`10  b        3 B  ${"x".repeat(28)}`);
  expect(fittedTable(COLUMNS, ROWS, 45)).toEqual([
    "ID  NAME    SIZE",
    " 7  宿主  12 KiB",
    "10  b        3 B",
  ]);
  expect(fittedTable(COLUMNS, ROWS.slice(0, 1), 26)[1]).toBe(" 7  宿主  12 KiB  sleep 10");
});

test("columns of higher ranks are left out first, those of rank 0 never", () => {
  expect(fittedTable(COLUMNS, ROWS, 16)[1]).toBe(" 7  宿主  12 KiB");
  expect(fittedTable(COLUMNS, ROWS, 15)[1]).toBe(" 7  12 KiB");
  // A column of a higher rank would fit, but would come back as the width shrinks.
  expect(fittedTable(COLUMNS, ROWS, 9)[1]).toBe(" 7");
  expect(fittedTable(COLUMNS, ROWS, 3)[1]).toBe(" 7");
  expect(fittedTable(COLUMNS, ROWS, 1)).toEqual(["I", " ", "1"]);
});

test("without rows it is the head", () => {
  expect(fittedTable(COLUMNS, [], 80)).toEqual(["ID  NAME  SIZE  COMMAND"]);
});
