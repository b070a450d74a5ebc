/** A line into words, as a shell does it, but without anything being expanded. */
import { invalidValue } from "../errors.ts";

/**
 * Splits at white space; `'…'`, `"…"` and backslashes keep words together.
 *
 * @throws {VsockboxError} USAGE for a quotation without an end.
 */
export function splitLine(line: string, option: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (character === "\\" && quote !== "'" && at + 1 < line.length) {
      word = (word ?? "") + line.charAt(++at);
    } else if (quote !== "") {
      if (character === quote) quote = "";
      else word = (word ?? "") + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote !== "") {
    throw invalidValue({
      value: line,
      name: `--${option}`,
      message: `the quotation mark ${quote} is not closed`,
    });
  }
  if (word !== undefined) words.push(word);
  return words;
}
