/** The tables of a page that set old command lines beside ours, and their lines as a test runs them. */
import { inDirectory } from "./example-text.ts";

/** One side of a row. */
export interface TypedLine {
  /** The command; it ends in ` &` if it is a server. */
  command: string;
  /** The word in parentheses that names why the line is not run. */
  notRun: string | undefined;
}

/** A row: an old line and ours; either may be absent. */
export interface TypedRow {
  on: "host" | "guest";
  typed: TypedLine | undefined;
  now: TypedLine | undefined;
}

/** A table, by the heading above it. */
export interface TypedTable {
  heading: string;
  rows: TypedRow[];
}

const COLUMNS = ["on", "you typed", "you type now", "more"];

/** Returns the tables of a page that have the columns `on`, `you typed`, `you type now` and `more`. */
export function typedTables(document: string): TypedTable[] {
  return document
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const [head, , ...rows] = section.split("\n").filter((line) => line.startsWith("|"));
      if (head === undefined || cellsOf(head).join() !== COLUMNS.join()) return [];
      return [{ heading: section.split("\n")[0] ?? "", rows: rows.map(rowOf) }];
    });
}

function cellsOf(row: string): string[] {
  return row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function rowOf(row: string): TypedRow {
  const [on, typed = "", now = "", ...rest] = cellsOf(row);
  if ((on !== "host" && on !== "guest") || rest.length !== 1) throw new Error(`bad row: ${row}`);
  return { on, typed: lineOf(typed), now: lineOf(now) };
}

function lineOf(cell: string): TypedLine | undefined {
  if (cell === "-") return undefined;
  const [, command, notRun] = /^`([^`]+)`(?: \((\w+)\))?$/.exec(cell) ?? [];
  if (command === undefined) throw new Error(`not a command: ${cell}`);
  return { command, notRun };
}

/** Commands without an address, and the one that they have by themselves, as sockets of `/run`. */
const DEFAULTS: readonly { line: RegExp; words: readonly string[] }[] = [
  { line: /^vsockbox agent$/, words: ["--listen", "guest_5000", "--ready-listen", "guest_5002"] },
  { line: /^vsock-shell-server\b/, words: ["--listen", "guest_5000"] },
  { line: /^(?:vsock_guest_exec|vsockbox guest-exec)$/, words: ["vm4.vsock_1024"] },
];

/**
 * Returns a line with Unix sockets in place of AF_VSOCK, as a VMM joins them: the guest's CID 2, port P
 * is `/run/vm4.vsock_P` on the host. Port P of the guest is `/run/guest_P`, which a bridge connects to
 * `/run/vm4.vsock`. All paths are in `root`.
 */
export function overUnixSockets(line: string, on: TypedRow["on"], root: string): string {
  const run = `${root}/run`;
  const moved = inDirectory(line, root);
  const translated =
    on === "host"
      ? moved.replaceAll(/(?<= )3(?=[ :]|$)/g, `hybrid:${run}/vm4.vsock`)
      : moved
          .replaceAll(/(?<= )2?:(\d+)(?= |$)/g, `unix:${run}/vm4.vsock_$1`)
          .replaceAll(/(?<= )vsock::(\d+)(?= |$)/g, `unix:${run}/guest_$1`);
  const own = DEFAULTS.find((candidate) => candidate.line.test(translated))?.words ?? [];
  const sockets = own.map((word) => (word.startsWith("--") ? word : `unix:${run}/${word}`));
  return [translated, ...sockets].join(" ");
}
