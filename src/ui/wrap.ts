/** Text of help, wrapped to a width. */

/** Columns of a terminal whose width is not known. */
const DEFAULT_COLUMNS = 80;

/** Narrower than this, help is not wrapped any further. */
const MIN_COLUMNS = 20;

/**
 * Returns the columns that help may use: the variable COLUMNS, else the width of the terminal, else 80.
 *
 * @param terminalColumns undefined if standard output is not a terminal.
 */
export function helpColumns(variable: string | undefined, terminalColumns?: number): number {
  const columns = /^[0-9]{1,4}$/.test(variable ?? "") ? Number(variable) : terminalColumns;
  return Math.max(MIN_COLUMNS, columns || DEFAULT_COLUMNS);
}

/** Returns the lines of a text: no line is longer than `columns`, unless a single word is. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").filter(Boolean)) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}

/** A term and its description, as a list of options has them. */
export interface Row {
  term: string;
  description: string;
}

/** Spaces before a term, and between the terms and the descriptions. */
const MARGIN = 2;

/** Spaces before a description that is on its own line. */
const OWN_LINE_INDENT = 8;

/** The terms have at most this part of the width; a longer one has its description on the next line. */
const MAX_TERM_PART = 0.45;

/** Below this width every description is on its own line, unless all of them fit. */
const MIN_TWO_COLUMNS = 60;

/** Returns the lines of a list: terms in a column on the left, descriptions wrapped on the right. */
export function rows(list: readonly Row[], columns: number): string[] {
  const limit = Math.floor(columns * MAX_TERM_PART);
  const widths = list.map(({ term }) => term.length).filter((width) => width <= limit);
  const width = Math.max(0, ...widths);
  const start = MARGIN + width + MARGIN;
  const fits = list.every(
    ({ term, description }) => term.length <= width && start + description.length <= columns,
  );
  if (columns < MIN_TWO_COLUMNS && !fits) return list.flatMap((row) => onOwnLines(row, columns));
  return list.flatMap(({ term, description }) => {
    const lines = wrap(description, columns - start).map((line) => " ".repeat(start) + line);
    const head = " ".repeat(MARGIN) + term;
    if (term.length > width) return [head, ...lines];
    const [first = "", ...others] = lines;
    return [(head.padEnd(start) + first.slice(start)).trimEnd(), ...others];
  });
}

function onOwnLines({ term, description }: Row, columns: number): string[] {
  const indent = " ".repeat(OWN_LINE_INDENT);
  return [
    " ".repeat(MARGIN) + term,
    ...wrap(description, columns - OWN_LINE_INDENT).map((line) => indent + line),
  ];
}
