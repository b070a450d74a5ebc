/** Decimal numbers of proc(5), and lines of names with numbers. */

/** Digits of 2^64 - 1. */
const MAX_DIGITS = 20;

/** Returns an unsigned decimal number; undefined for any other text. Above 2^53 it is rounded. */
export function unsignedOf(text: string | undefined): number | undefined {
  if (text === undefined || text.length > MAX_DIGITS || !/^\d+$/.test(text)) return undefined;
  return Number(text);
}

/** Returns a decimal number with an optional fraction, such as `0.25`; undefined for any other text. */
export function decimalOf(text: string | undefined): number | undefined {
  if (text === undefined || text.length > 2 * MAX_DIGITS) return undefined;
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/**
 * Returns the numbers of the fields from `begin` on; undefined if fewer than `count` follow or one of
 * them is not a number. Kernels append fields: those after `count` are ignored.
 */
export function unsignedFields(
  fields: readonly string[],
  begin: number,
  count: number,
): number[] | undefined {
  const numbers = fields.slice(begin, begin + count).map(unsignedOf);
  const whole = numbers.filter((number) => number !== undefined);
  return whole.length === count ? whole : undefined;
}

/** Returns the fields of a line, which blanks separate. */
export function fieldsOf(line: string): string[] {
  return line.trim().split(/\s+/);
}

const BYTES_PER_KB = 1024;

/**
 * Reads lines `NAME VALUE` and `NAME: VALUE kB`, as /proc/vmstat and /proc/meminfo have them: counts, and
 * bytes for values in kB. Lines of another form are ignored, and of a repeated name the first is kept.
 */
export function parseNamedNumbers(text: string): Map<string, number> {
  const numbers = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [label = "", written, unit] = fieldsOf(line);
    const name = label.endsWith(":") ? label.slice(0, -1) : label;
    const value = unsignedOf(written);
    if (name === "" || value === undefined || numbers.has(name)) continue;
    if (unit === undefined) numbers.set(name, value);
    else if (unit === "kB") numbers.set(name, value * BYTES_PER_KB);
  }
  return numbers;
}
