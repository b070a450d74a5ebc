/**
 * Makes text of a peer safe to display. A guest, a host or a file can contain line feeds and
 * bidirectional controls that forge lines of ours, escape sequences of the terminal, and characters
 * without width that hide a difference.
 */

/**
 * Controls (C0, DEL, C1), line and paragraph separators, lone surrogates, and what Unicode calls
 * default-ignorable: bidirectional controls, joiners and other characters of no width, tags. Variation
 * selectors stay, since emoji have them.
 */
const UNSAFE =
  /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}[\p{Default_Ignorable_Code_Point}--[\u{FE00}-\u{FE0F}]]]/gv;

/** Characters of one text that are shown, unless the caller wants more or less. */
const MAX_CHARACTERS = 2000;

const NAMED: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** Characters that are reserved for the ending of a truncated text. */
const ENDING_CHARACTERS = 40;

/** Length of the longest escape, `\u{10ffff}`, in characters. */
const LONGEST_ESCAPE = 10;

function escape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  return (
    NAMED.get(character) ?? (code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `\\u{${digits}}`)
  );
}

/** Options of {@link printable}. */
export interface PrintableOptions {
  /** Longer texts are cut, in UTF-16 units (default: 2,000). */
  maxCharacters?: number;
  /** A tab stays one. */
  keepsTabs?: boolean;
}

/** Returns a text on one line, with unsafe characters escaped as `\n`, `\x1b` or `\u{202e}`. */
export function printable(
  text: string,
  { maxCharacters = MAX_CHARACTERS, keepsTabs = false }: PrintableOptions = {},
): string {
  const safe = (part: string) =>
    part.replaceAll(UNSAFE, (character) =>
      keepsTabs && character === "\t" ? character : escape(character),
    );
  const whole = text.length <= maxCharacters ? safe(text) : undefined;
  if (whole !== undefined && whole.length <= maxCharacters) return whole;
  // With its ending it fits, so that a text which passes through here twice stays as it is.
  const most = Math.max(0, maxCharacters - ENDING_CHARACTERS);
  let count = Math.min(most, text.length);
  let shown = safe(text.slice(0, count));
  while (shown.length > most) {
    count -= Math.ceil((shown.length - most) / LONGEST_ESCAPE);
    shown = safe(text.slice(0, count));
  }
  return `${shown}… (${text.length - count} characters more)`;
}

/** One character in UTF-8, as Latin-1 text, or one byte that belongs to none. */
const UTF8_CHARACTER =
  /[\u0000-\u007F]|[\u00C2-\u00DF][\u0080-\u00BF]|\u00E0[\u00A0-\u00BF][\u0080-\u00BF]|[\u00E1-\u00EC\u00EE\u00EF][\u0080-\u00BF]{2}|\u00ED[\u0080-\u009F][\u0080-\u00BF]|\u00F0[\u0090-\u00BF][\u0080-\u00BF]{2}|[\u00F1-\u00F3][\u0080-\u00BF]{3}|\u00F4[\u0080-\u008F][\u0080-\u00BF]{2}|[^]/g; // oxlint-disable-line no-control-regex

/** Returns bytes, such as a file name, as {@link printable} text; bytes outside UTF-8 become `\xff`. */
export function printableBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const options = { maxCharacters: Number.POSITIVE_INFINITY };
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return printable(decoder.decode(buffer), options);
  } catch {
    const latin1 = buffer.toString("latin1");
    return latin1.replaceAll(UTF8_CHARACTER, (unit) => {
      const isByte = unit.length === 1 && unit > "\u007F";
      return isByte ? escape(unit) : printable(Buffer.from(unit, "latin1").toString(), options);
    });
  }
}

/** Returns a value as JSON on one line, with unsafe characters escaped as `\uXXXX`. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}
