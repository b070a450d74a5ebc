/**
 * In which lines of a YAML text profiles and their keys are, which the parser does not report, and
 * which of them are there twice, of which the parser returns the last one only. Block style alone: for
 * other texts the answer is empty or shorter, never an error.
 */

/** The lines of each key, from 1, and the same for the keys below it. */
export interface KeyLocation {
  lines: number[];
  keys: Map<string, KeyLocation>;
}

const KEY = /^( *)(?:"([^"\\]*)"|'([^']*)'|([^\s"'#[\]{},&*!|>%@`:-][^\s:#]*)) *:(?: |$)/;

/** Returns the keys of a text in block style, with those below them, down to the VMs' own. */
export function locateKeys(text: string): Map<string, KeyLocation> {
  const top: KeyLocation = { lines: [], keys: new Map() };
  // The keys that enclose the line, with their indentation; below -1 is the document itself.
  const enclosing: { indent: number; location: KeyLocation }[] = [{ indent: -1, location: top }];
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    const key = KEY.exec(line);
    if (key === null) continue;
    const indent = key[1]?.length ?? 0;
    while ((enclosing.at(-1)?.indent ?? -1) >= indent) enclosing.pop();
    const parent = enclosing.at(-1)?.location ?? top;
    const name = key[2] ?? key[3] ?? key[4] ?? "";
    const location = parent.keys.get(name) ?? { lines: [], keys: new Map<string, KeyLocation>() };
    location.lines.push(index + 1);
    parent.keys.set(name, location);
    enclosing.push({ indent, location });
  }
  return top.keys;
}

/** Texts with more lines are not searched for their error. */
const MAX_SEARCHED_LINES = 2000;

/**
 * Returns the line, from 1, in which a text stops to be YAML: the one after the longest beginning that
 * the parser accepts. Undefined for a text that it accepts, or that is too long for the search.
 */
export function yamlErrorLine(text: string): number | undefined {
  const lines = text.split("\n");
  if (lines.length > MAX_SEARCHED_LINES || isYaml(text)) return undefined;
  for (let count = lines.length - 1; count > 0; count--) {
    if (isYaml(lines.slice(0, count).join("\n"))) return count + 1;
  }
  return 1;
}

function isYaml(text: string): boolean {
  try {
    Bun.YAML.parse(text);
    return true;
  } catch {
    return false;
  }
}
