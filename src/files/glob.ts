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
  const matches = componentMatcher(component);
  let names: Buffer[];
  try {
    names = readdirSync(directory, { encoding: "buffer" });
  } catch {
    return [];
  }
  return names
    .map((name) => name.toString("latin1"))
    .filter((name) => matches(name) && (component.startsWith(".") || !name.startsWith(".")))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => Buffer.from(name, "latin1"));
}

/** What stands between the stars of a pattern: a regular expression, one character an atom. */
interface Segment {
  source: string;
  length: number;
}

function segmentsOf(component: string): Segment[] {
  let segment: Segment = { source: "", length: 0 };
  const segments = [segment];
  const add = (source: string) => {
    segment.source += source;
    segment.length++;
  };
  for (let index = 0; index < component.length; index++) {
    const character = component[index] ?? "";
    if (character === "*") segments.push((segment = { source: "", length: 0 }));
    else if (character === "?") add("[^]");
    else if (character === "\\") add(literal(component[++index] ?? "\\"));
    else if (character === "[") {
      const end = component.indexOf("]", index + 2);
      if (end === -1) add(literal("["));
      else {
        add(characterClass(component.slice(index + 1, end)));
        index = end;
      }
    } else add(literal(character));
  }
  return segments;
}

/**
 * Whether a name on Latin-1 matches one component. Each star takes as little as it can, and never more
 * later: a regular expression for all of it would try every way to share a name among many stars.
 */
function componentMatcher(component: string): (name: string) => boolean {
  const segments = segmentsOf(component);
  let first: RegExp;
  let last: RegExp;
  let middle: RegExp[];
  try {
    first = new RegExp(`^${segments[0]?.source}`);
    last = new RegExp(`${segments.at(-1)?.source}$`);
    middle = segments.slice(1, -1).map(({ source }) => new RegExp(source, "g"));
  } catch {
    // A range such as [z-a] matches nothing.
    return () => false;
  }
  const lengths = segments.map(({ length }) => length);
  const [head = 0] = lengths;
  if (segments.length === 1) return (name) => name.length === head && first.test(name);
  return (name) => {
    const end = name.length - (lengths.at(-1) ?? 0);
    let from = head;
    if (from > end || !first.test(name) || !last.test(name.slice(end))) return false;
    for (const segment of middle) {
      segment.lastIndex = from;
      if (!segment.test(name)) return false;
      from = segment.lastIndex;
      if (from > end) return false;
    }
    return true;
  };
}

function characterClass(inner: string): string {
  const negated = inner.startsWith("!") || inner.startsWith("^");
  const body = (negated ? inner.slice(1) : inner).replaceAll(/[\\\]^[]/g, "\\$&");
  return `[${negated ? "^" : ""}${body}]`;
}

function literal(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/, "\\$&");
}
