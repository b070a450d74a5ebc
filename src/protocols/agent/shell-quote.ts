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
