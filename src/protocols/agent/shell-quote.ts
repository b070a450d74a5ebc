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
  // A first word that needs no quotes could be an assignment or a keyword; quotes prevent that.
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

/** Names of the variables of {@link carryLine}. */
export const CARRIED_VARIABLE = /^_VSOCKBOX_LINE_\d+$/;

/**
 * The kernel accepts 131,072 bytes (MAX_ARG_STRLEN, execve(2)) for one argument or one setting, and
 * the whole line is one argument of `sh -c`. In characters, so that three bytes each still fit.
 */
const LINE_MAX_CHARACTERS = 40_000;

/** A shell line and the variables that it needs. */
export interface CarriedLine {
  command: string;
  env: Record<string, string>;
}

/**
 * Returns a line of any length in a form that every shell accepts: a long one is split into pieces in
 * environment variables, which the shell puts together and removes before it runs the line.
 */
export function carryLine(line: string): CarriedLine {
  if (line.length <= LINE_MAX_CHARACTERS) return { command: line, env: {} };
  const env: Record<string, string> = {};
  const names: string[] = [];
  for (let offset = 0; offset < line.length;) {
    let end = Math.min(line.length, offset + LINE_MAX_CHARACTERS);
    // Never between the two halves of a surrogate pair: each half alone is not UTF-8.
    if (/[\uD800-\uDBFF]/.test(line[end - 1] ?? "") && end < line.length) end--;
    const name = `_VSOCKBOX_LINE_${names.length}`;
    env[name] = line.slice(offset, end);
    names.push(name);
    offset = end;
  }
  const joined = names.map((name) => `\${${name}}`).join("");
  return { command: `_l="${joined}"; unset ${names.join(" ")}; eval "$_l"`, env };
}

/** A word at the beginning of the text: pieces that mean themselves, in quotes or not. */
const WORD = /^(?:[A-Za-z0-9_\-+./:@%,=^]|'[^']*'|"[^"$`\\]*"|\\')+/;

const PIECE = /'([^']*)'|"([^"]*)"|\\(')|([^'"\\]+)/g;

/**
 * The words of a line that needs no shell, for guests that have none: the other way round of
 * {@link quoteCommand} and {@link carryLine}. Undefined if something would have to be expanded,
 * redirected or combined.
 *
 * @param env the variables that came with the line.
 */
export function wordsOfLine(
  line: string,
  env: Readonly<Record<string, string>>,
): [string, ...string[]] | undefined {
  const names = /^_l="(?:\$\{_VSOCKBOX_LINE_\d+\})+"; unset ([\w ]+); eval "\$_l"$/.exec(line)?.[1];
  const whole =
    names === undefined
      ? line
      : names
          .split(" ")
          .map((name) => env[name] ?? "")
          .join("");
  let rest = whole.trim();
  const words: string[] = [];
  while (rest !== "") {
    const word = WORD.exec(rest)?.[0];
    const isWhole = word !== undefined && /^(?:[ \t]|$)/.test(rest.slice(word.length));
    if (!isWhole) return undefined;
    // An assignment, which a shell would not run.
    if (words.length === 0 && /^\w+=/.test(word)) return undefined;
    const pieces = Array.from(word.matchAll(PIECE), (piece) => piece.slice(1).join(""));
    // `exec` alone, not in quotes, is the shell's.
    if (words.length > 0 || word !== "exec") words.push(pieces.join(""));
    rest = rest.slice(word.length).replace(/^[ \t]+/, "");
  }
  const [first, ...others] = words;
  return first === undefined ? undefined : [first, ...others];
}
