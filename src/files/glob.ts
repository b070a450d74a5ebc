/** Patterns in paths, as a shell expands them: `*`, `?` and `[…]` in each component. */
import { lstatSync, readdirSync } from "node:fs";
import { type BytesPath, joinPath } from "./bytes-path.ts";

const SLASH = 0x2f;
/** `*`, `?` and `[`. */
const WILDCARDS = [0x2a, 0x3f, 0x5b] as const;

/** Whether a path has anything to be expanded. */
export function hasWildcard(path: Uint8Array): boolean {
  return WILDCARDS.some((wildcard) => path.includes(wildcard));
}

/**
 * The paths that match, sorted by their bytes; none where nothing does. A backslash takes the next
 * character as it is. Names that begin with a dot match only a pattern that does.
 *
 * @param limit more matches than this are not looked for.
 */
export function expandGlob(pattern: Uint8Array, limit: number): BytesPath[] {
  const isAbsolute = pattern[0] === SLASH;
  // Latin-1 makes a character of every byte, so patterns work on names that are not UTF-8.
  const components = Buffer.from(pattern)
    .toString("latin1")
    .split("/")
    .filter((part) => part !== "");
  let found: BytesPath[] = [Buffer.from(isAbsolute ? "/" : ".")];
  for (const component of components) {
    const next: BytesPath[] = [];
    for (const directory of found) {
      for (const name of matchesIn(directory, component)) {
        next.push(joinPath(directory, name));
        if (next.length >= limit) break;
      }
    }
    found = next;
  }
  return isAbsolute ? found : found.map((path) => path.subarray(2));
}

function matchesIn(directory: BytesPath, component: string): Uint8Array[] {
  if (!/[*?[]/.test(component)) {
    const name = Buffer.from(component.replaceAll(/\\(.)/gs, "$1"), "latin1");
    const there = lstatSync(joinPath(directory, name), { throwIfNoEntry: false }) !== undefined;
    return there ? [name] : [];
  }
  const matcher = componentPattern(component);
  let names: Buffer[];
  try {
    names = readdirSync(directory, { encoding: "buffer" });
  } catch {
    return [];
  }
  return names
    .map((name) => name.toString("latin1"))
    .filter((name) => matcher.test(name) && (component.startsWith(".") || !name.startsWith(".")))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => Buffer.from(name, "latin1"));
}

/** One component as a regular expression on Latin-1 text. */
function componentPattern(component: string): RegExp {
  let source = "";
  for (let index = 0; index < component.length; index++) {
    const character = component[index] ?? "";
    if (character === "*") source += "[^]*";
    else if (character === "?") source += "[^]";
    else if (character === "\\") source += literal(component[++index] ?? "\\");
    else if (character === "[") {
      const end = component.indexOf("]", index + 2);
      if (end === -1) source += literal("[");
      else {
        source += characterClass(component.slice(index + 1, end));
        index = end;
      }
    } else source += literal(character);
  }
  try {
    return new RegExp(`^${source}$`);
  } catch {
    // A range such as [z-a] matches nothing.
    return /(?!)/;
  }
}

function characterClass(inner: string): string {
  const negated = inner.startsWith("!") || inner.startsWith("^");
  const body = (negated ? inner.slice(1) : inner).replaceAll(/[\\\]^[]/g, "\\$&");
  return `[${negated ? "^" : ""}${body}]`;
}

function literal(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/, "\\$&");
}
