/**
 * Line charts as SVG text, without a library: one file for a light and a dark background, which the style
 * sheet in it distinguishes by `prefers-color-scheme`.
 */

/** Width of a chart, in user units, as of everything here. */
const CHART_WIDTH = 760;

/** Height of one panel. */
const PANEL_HEIGHT = 280;

const MARGIN = { left: 80, right: 170, top: 40, bottom: 46 };
const TICK_GAP = 6;
const LINE_HEIGHT = 18;
const KEY_WIDTH = 18;

/** Number of colours of {@link SVG_STYLE}. */
const COLOURS = 6;

/** The style sheet of all charts. */
export const SVG_STYLE = `<style>
  svg { font-family: system-ui, sans-serif; font-size: 12px; background: #ffffff; --ink: #1f2328; --faint: #d1d9e0; --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #cf222e; --c5: #6e7781; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; --ink: #e6edf3; --faint: #30363d; --c0: #58a6ff; --c1: #f0883e; --c2: #3fb950; --c3: #bc8cff; --c4: #ff7b72; --c5: #8b949e; }
  }
  text { fill: var(--ink); }
  .title { font-size: 14px; font-weight: 600; }
  .grid { stroke: var(--faint); stroke-width: 1; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
</style>`;

/** A mark on an axis. */
export interface Tick {
  /** In the axis's units. */
  at: number;
  label: string;
}

/** A line. */
export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}

/** A chart with its two axes, which begin and end at their first and last ticks. */
export interface Panel {
  title: string;
  xLabel: string;
  xTicks: readonly Tick[];
  yTicks: readonly Tick[];
  series: readonly Series[];
}

/** Returns a text as it stands in SVG. */
export function escapeSvg(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Returns a number with one digit after the point at most. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Returns ticks from 0 to at least `max`, at steps of 1, 2 or 5 times a power of ten. */
export function linearTicks(max: number, format: (value: number) => string): Tick[] {
  const wanted = max > 0 ? max / 5 : 1;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= wanted * 0.999) ?? 10);
  const count = Math.max(1, Math.ceil(max / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => {
    const at = index * step;
    return { at, label: format(at) };
  });
}

/** Returns ticks at the powers of ten that enclose two positive numbers; positions are logarithms. */
export function logarithmicTicks(
  min: number,
  max: number,
  format: (value: number) => string,
): Tick[] {
  const first = Math.floor(Math.log10(min));
  const last = Math.max(first + 1, Math.ceil(Math.log10(max)));
  return Array.from({ length: last - first + 1 }, (_, index) => ({
    at: first + index,
    label: format(10 ** (first + index)),
  }));
}

/** Returns a document with the panels below each other. */
export function lineCharts(title: string, panels: readonly Panel[]): string {
  const height = panels.length * PANEL_HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CHART_WIDTH} ${height}" role="img" aria-label="${escapeSvg(title)}">`,
    `<title>${escapeSvg(title)}</title>`,
    SVG_STYLE,
    ...panels.flatMap((panel, index) => [
      `<g transform="translate(0 ${index * PANEL_HEIGHT})">`,
      ...panelLines(panel),
      "</g>",
    ]),
    "</svg>",
    "",
  ].join("\n");
}

/** Returns a function from the units of an axis to user units. */
function scale(ticks: readonly Tick[], from: number, to: number): (value: number) => number {
  const first = ticks[0]?.at ?? 0;
  const span = (ticks.at(-1)?.at ?? 1) - first || 1;
  return (value) => from + ((value - first) / span) * (to - from);
}

function panelLines({ title, xLabel, xTicks, yTicks, series }: Panel): string[] {
  const right = CHART_WIDTH - MARGIN.right;
  const bottom = PANEL_HEIGHT - MARGIN.bottom;
  const x = scale(xTicks, MARGIN.left, right);
  const y = scale(yTicks, bottom, MARGIN.top);
  const middle = coordinate((MARGIN.left + right) / 2);
  return [
    `<text class="title" x="${MARGIN.left}" y="22">${escapeSvg(title)}</text>`,
    ...yTicks.flatMap(({ at, label }) => [
      `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${coordinate(y(at))}" y2="${coordinate(y(at))}"/>`,
      `<text x="${MARGIN.left - TICK_GAP}" y="${coordinate(y(at) + 4)}" text-anchor="end">${escapeSvg(label)}</text>`,
    ]),
    ...xTicks.map(
      ({ at, label }) =>
        `<text x="${coordinate(x(at))}" y="${bottom + LINE_HEIGHT}" text-anchor="middle">${escapeSvg(label)}</text>`,
    ),
    `<text x="${middle}" y="${bottom + 2 * LINE_HEIGHT}" text-anchor="middle">${escapeSvg(xLabel)}</text>`,
    ...series.flatMap(({ name, points }, index) => {
      const colour = `var(--c${index % COLOURS})`;
      const path = points.map(([px, py]) => `${coordinate(x(px))},${coordinate(y(py))}`).join(" ");
      const keyY = MARGIN.top + 8 + index * LINE_HEIGHT;
      const keyX = right + 2 * TICK_GAP;
      return [
        `<polyline class="line" style="stroke: ${colour}" points="${path}"/>`,
        `<line class="line" style="stroke: ${colour}" x1="${keyX}" x2="${keyX + KEY_WIDTH}" y1="${keyY}" y2="${keyY}"/>`,
        `<text x="${keyX + KEY_WIDTH + TICK_GAP}" y="${keyY + 4}">${escapeSvg(name)}</text>`,
      ];
    }),
  ];
}
