/**
 * An argument vector as one POSIX shell line, so that an agent which only runs `sh -c LINE` runs
 * exactly that vector: nothing split, nothing expanded, no byte lost.
 */

/** Words of these characters mean themselves to every shell. */
const PLAIN = /^[A-Za-z0-9_\-+./:@%,]+$/;

const SINGLE_QUOTE = 0x27;

/**
 * One argument, quoted. An argument that is not UTF-8 could not travel in a JSON string, so its
 * other bytes are written as octal escapes that the remote shell's printf turns back.
 */
export function quoteArgument(argument: Uint8Array): string {
  const text = decodeUtf8(argument);
  if (text === undefined) return quoteBytes(argument);
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The whole vector, to be run by `sh -c`. `exec` replaces the shell, so that signals and the exit
 * status are the command's own.
 */
export function quoteCommand(argv: readonly Uint8Array[]): string {
  const words = argv.map(quoteArgument);
  // A leading dash would be read as an option of `exec` itself.
  const direct = argv[0]?.[0] !== 0x2d;
  // A first word that needs no quotes could be an assignment or a keyword; quotes take that away.
  if (words[0] !== undefined && !/^['"]/.test(words[0])) words[0] = `'${words[0]}'`;
  return direct ? `exec ${words.join(" ")}` : words.join(" ");
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function quoteBytes(bytes: Uint8Array): string {
  let line = "'";
  for (const byte of bytes) {
    if (byte === SINGLE_QUOTE) line += `'\\''`;
    else if (byte < 0x80) line += String.fromCharCode(byte);
    else line += `'"$(printf '\\${byte.toString(8)}')"'`;
  }
  return `${line}'`;
}

/**
 * The kernel takes 131,072 bytes (MAX_ARG_STRLEN, execve(2)) for one argument or one setting, and
 * the whole line is one argument of `sh -c`. In characters, so that three bytes each still fit.
 */
const LINE_MAX_CHARACTERS = 40_000;

/** A shell line and the variables that it needs. */
export interface CarriedLine {
  command: string;
  env: Record<string, string>;
}

/**
 * A line of any length in a form that every shell can be given: a long one travels in pieces in
 * environment variables, which the shell puts together and removes before it runs the line.
 */
export function carryLine(line: string): CarriedLine {
  if (line.length <= LINE_MAX_CHARACTERS) return { command: line, env: {} };
  const env: Record<string, string> = {};
  const names: string[] = [];
  for (let offset = 0; offset < line.length;) {
    let end = Math.min(line.length, offset + LINE_MAX_CHARACTERS);
    // Never between the two halves of a surrogate pair: each half alone is no UTF-8.
    if (/[\uD800-\uDBFF]/.test(line[end - 1] ?? "") && end < line.length) end--;
    const name = `_VSOCKBOX_LINE_${names.length}`;
    env[name] = line.slice(offset, end);
    names.push(name);
    offset = end;
  }
  const joined = names.map((name) => `\${${name}}`).join("");
  return { command: `_l="${joined}"; unset ${names.join(" ")}; eval "$_l"`, env };
}
