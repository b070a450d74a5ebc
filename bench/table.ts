/**
 * Tables of measurements: what every script of this directory makes, prints as Markdown and writes as JSON,
 * and what docs/performance.md and its plots are made of (`document.ts`).
 */
import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";

/** Where a table was measured. */
export interface Machine {
  runtime: string;
  system: string;
  cores: number;
  processor: string;
}

/** A program beside vsockbox. */
export interface Peer {
  name: string;
  /** Null if it was not recorded. */
  version: string | null;
}

/** A number with its unit; `/s` stands for operations a second. */
export interface Measure {
  value: number;
  unit: string;
}

/** A line of a table. */
export interface BenchRow extends Measure {
  what: string;
  /** What was measured in the same run. */
  beside: (Measure & { name: string }) | null;
  /** Above 1 is where vsockbox is better, whether more or less is better; null if nothing compares. */
  ratio: number | null;
}

/** A table. */
export interface BenchTable {
  /** The name of its file, without `.json`. */
  id: string;
  title: string;
  machine: Machine;
  peers: Peer[];
  rows: BenchRow[];
}

/** Digits after the point by unit; others have as many as the value. */
const DIGITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 2,
  "s/GiB": 2,
  "MB/s": 0,
  "/s": 0,
  "%": 0,
};

/** Returns a number as it is recorded: rounded to the digits that its unit has in tables. */
export function rounded(value: number, unit: string): number {
  return Number(value.toFixed(DIGITS[unit] ?? 1));
}

/** Returns the machine that this process runs on. */
export function thisMachine(): Machine {
  return {
    runtime: `Bun ${Bun.version}`,
    system: `Linux ${release().split(".").slice(0, 2).join(".")}, ${process.arch}`,
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? "unknown",
  };
}

/** Returns the first version number that a program prints; null if it is missing or prints none. */
export function versionOf(...command: [string, ...string[]]): string | null {
  if (Bun.which(command[0]) === null) return null;
  const { stdout, stderr } = Bun.spawnSync(command);
  return /\d+(?:\.\d+)+\w*/.exec(`${stdout.toString()} ${stderr.toString()}`)?.[0] ?? null;
}

/** Returns a row that has nothing beside it. */
export function alone(what: string, value: number, unit: string): BenchRow {
  return { what, value: rounded(value, unit), unit, beside: null, ratio: null };
}

/**
 * Returns a row with a ratio.
 *
 * @param better which of two values is better.
 */
export function compared(
  what: string,
  { value, unit }: Measure,
  beside: Measure & { name: string },
  better: "more" | "less",
): BenchRow {
  const ratio = better === "more" ? value / beside.value : beside.value / value;
  return {
    what,
    value: rounded(value, unit),
    unit,
    beside: { ...beside, value: rounded(beside.value, beside.unit) },
    ratio: Number(ratio.toFixed(2)),
  };
}

/** Returns a measure as text: `680 MB/s`, `1225/s`. */
export function formatMeasure({ value, unit }: Measure): string {
  const digits = DIGITS[unit];
  const text = digits === undefined ? String(value) : value.toFixed(digits);
  return unit === "/s" ? `${text}${unit}` : `${text} ${unit}`;
}

/** Returns the table in Markdown. A peer that is beside every row is the title of its column. */
export function markdown({ rows }: BenchTable): string {
  const names = new Set(rows.map(({ beside }) => beside?.name));
  const [only] = names;
  const commonName = names.size === 1 ? only : undefined;
  const hasBeside = rows.some(({ beside }) => beside !== null);
  const hasRatio = rows.some(({ ratio }) => ratio !== null);
  const besideText = ({ beside }: BenchRow) => {
    if (beside === null) return "";
    return commonName === undefined
      ? `${beside.name}: ${formatMeasure(beside)}`
      : formatMeasure(beside);
  };
  const lines = [
    ["what", "vsockbox", ...(hasBeside ? [commonName ?? "beside it"] : []), "ratio"],
    ["---", "---", ...(hasBeside ? ["---"] : []), "---"],
    ...rows.map((row) => [
      row.what,
      formatMeasure(row),
      ...(hasBeside ? [besideText(row)] : []),
      row.ratio?.toFixed(2) ?? "",
    ]),
  ];
  const cellsOf = (cells: readonly string[]) => (hasRatio ? cells : cells.slice(0, -1));
  return lines.map((cells) => `| ${cellsOf(cells).join(" | ")} |`).join("\n");
}

/** Returns the line about machine and peers above a table. */
export function conditions({ machine, peers }: BenchTable): string {
  const { runtime, system, cores, processor } = machine;
  const beside = peers.map(({ name, version }) => `${name} ${version ?? "(version not recorded)"}`);
  const list = beside.length === 0 ? "" : `; beside ${beside.join(", ")}`;
  return `${runtime}, ${system}, ${cores} cores (${processor})${list}`;
}

/** Reads a table that {@link writeTables} has written. */
export function readTable(path: string): BenchTable {
  return JSON.parse(readFileSync(path, "utf8")) as BenchTable;
}
