/** Tables that fit a width: columns of less importance are left out, and one takes the remaining space. */
import { cutToColumns } from "./cut-to-columns.ts";

/** A column. */
export interface FittedColumn<Row> {
  title: string;
  /** Columns with lower ranks are kept longer; those with the rank 0 always. */
  rank: number;
  /** Numbers are aligned to the right. */
  isNumber?: boolean;
  /** Whether it is cut to the space that is left; of the last column only. */
  isCut?: boolean;
  cell(row: Row): string;
}

/** Between two columns. */
const GAP = "  ";

/** Columns of higher ranks are left out rather than give a column that is cut less space than this. */
const MIN_CUT_WIDTH = 28;

const widthOf = (text: string) => Bun.stringWidth(text);

function padded(text: string, width: number, isNumber: boolean): string {
  const padding = " ".repeat(Math.max(0, width - widthOf(text)));
  return isNumber ? padding + text : text + padding;
}

interface Measured<Row> {
  column: FittedColumn<Row>;
  cells: string[];
  width: number;
}

function measure<Row>(column: FittedColumn<Row>, rows: readonly Row[]): Measured<Row> {
  const cells = rows.map((row) => column.cell(row));
  const width = Math.max(widthOf(column.title), ...cells.map(widthOf));
  return { column, cells, width: column.isCut ? Math.min(width, MIN_CUT_WIDTH) : width };
}

/** Returns the columns that fit, in their order: without the first that does not, and those of higher ranks. */
function fitting<Row>(columns: readonly Measured<Row>[], width: number): Measured<Row>[] {
  const kept = new Set<Measured<Row>>();
  let used = -GAP.length;
  for (const measured of columns.toSorted((a, b) => a.column.rank - b.column.rank)) {
    const wanted = used + GAP.length + measured.width;
    if (measured.column.rank > 0 && wanted > width) break;
    used = wanted;
    kept.add(measured);
  }
  return columns.filter((measured) => kept.has(measured));
}

/** Returns the lines of a table, its head first, none wider than `width` columns of a terminal. */
export function fittedTable<Row>(
  columns: readonly FittedColumn<Row>[],
  rows: readonly Row[],
  width: number,
): string[] {
  const kept = fitting(
    columns.map((column) => measure(column, rows)),
    width,
  );
  const line = (cellOf: (measured: Measured<Row>) => string) =>
    cutToColumns(
      kept
        .map((measured) => {
          const { column } = measured;
          const cell = cellOf(measured);
          return column.isCut ? cell : padded(cell, measured.width, column.isNumber === true);
        })
        .join(GAP)
        .trimEnd(),
      width,
    );
  return [
    line(({ column }) => column.title),
    ...rows.map((_, index) => line(({ cells }) => cells[index] ?? "")),
  ];
}
