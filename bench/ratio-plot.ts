/** The ratios of a table as bars on a logarithmic axis that begins at 1, as SVG for light and dark. */
import { coordinate, escapeSvg, SVG_STYLE } from "../src/bench/svg.ts";
import type { BenchTable } from "./table.ts";

const WIDTH = 760;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 16;
const HEAD_HEIGHT = 64;
const LABEL_WIDTH = 330;
const NUMBER_WIDTH = 60;
const TEXT_BASELINE = 12;
const LABEL_CHARACTERS = 52;

/** Marks of the axis; those within the range of the table are drawn. */
const MARKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

/** Returns the plot of the rows that have a ratio; undefined if none has one. */
export function ratioPlot({ title, rows }: BenchTable): string | undefined {
  const shown = rows.flatMap(({ what, ratio }) => (ratio === null ? [] : [{ what, ratio }]));
  if (shown.length === 0) return undefined;
  const ratios = shown.map(({ ratio }) => ratio);
  const [first, last] = rangeOf(Math.min(...ratios), Math.max(...ratios));
  const height = HEAD_HEIGHT + shown.length * ROW_HEIGHT + ROW_HEIGHT;
  const end = WIDTH - NUMBER_WIDTH;
  const x = (ratio: number) =>
    LABEL_WIDTH +
    ((Math.log(ratio) - Math.log(first)) / (Math.log(last) - Math.log(first))) *
      (end - LABEL_WIDTH);
  const bottom = HEAD_HEIGHT + shown.length * ROW_HEIGHT;
  const shownMarks = MARKS.filter((mark) => mark >= first && mark <= last);
  const marks = shownMarks.flatMap((mark) => [
    `<line class="grid" x1="${coordinate(x(mark))}" x2="${coordinate(x(mark))}" y1="${HEAD_HEIGHT - 6}" y2="${bottom}"/>`,
    `<text x="${coordinate(x(mark))}" y="${bottom + TEXT_BASELINE + 4}" text-anchor="middle">${mark}</text>`,
  ]);
  const bars = shown.flatMap(({ what, ratio }, index) => {
    const y = HEAD_HEIGHT + index * ROW_HEIGHT;
    const [from, to] = [x(1), x(ratio)].toSorted((a, b) => a - b);
    const colour = ratio >= 1 ? "var(--c0)" : "var(--c1)";
    return [
      `<text x="${LABEL_WIDTH - 10}" y="${y + TEXT_BASELINE}" text-anchor="end">${escapeSvg(labelOf(what))}</text>`,
      `<rect style="fill: ${colour}" x="${coordinate(from ?? 0)}" y="${y}" width="${coordinate((to ?? 0) - (from ?? 0))}" height="${BAR_HEIGHT}"/>`,
      `<text x="${end + 8}" y="${y + TEXT_BASELINE}">${ratio.toFixed(2)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeSvg(title)}">`,
    `<title>${escapeSvg(title)}</title>`,
    SVG_STYLE,
    `<text class="title" x="10" y="22">${escapeSvg(title)}</text>`,
    `<text x="10" y="42">ratio to what is beside it; vsockbox is better above 1</text>`,
    ...marks,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
}

/** The marks around all ratios and 1. */
function rangeOf(min: number, max: number): [number, number] {
  const first = MARKS.findLast((mark) => mark < Math.min(1, min)) ?? 0.01;
  const last = MARKS.find((mark) => mark > Math.max(1, max)) ?? 50;
  return [first, last];
}

/** Code marks mean nothing in SVG, and long texts do not fit. */
function labelOf(what: string): string {
  const text = what.replaceAll("`", "");
  return text.length <= LABEL_CHARACTERS ? text : `${text.slice(0, LABEL_CHARACTERS - 1)}…`;
}
