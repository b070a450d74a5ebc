/** Patterns in paths, as a shell expands them: `*`, `?` and `[…]` in each component. */
import { lstatSync, readdirSync } from "node:fs";
import { type BytesPath, joinPath } from "./bytes-path.ts";

const SLASH = 0x2f;

/** Longest name of one file: NAME_MAX, linux/limits.h. */
const NAME_MAX_BYTES = 255;

/** `*`, `?` and `[`. */
const WILDCARDS = [0x2a, 0x3f, 0x5b] as const;

/** Whether a path has anything to be expanded. */
export function hasWildcard(path: Uint8Array): boolean {
  return WILDCARDS.some((wildcard) => path.includes(wildcard));
}

/**
 * Returns the matching paths, sorted by their bytes. A backslash quotes the next
 * character as it is. Names that begin with a dot match only a pattern that does.
 *
 * @param limit the search ends after this number of matches.
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
        if (next.length >= limit) break;
        next.push(joinPath(directory, name));
      }
      if (next.length >= limit) break;
    }
    found = next;
  }
  return isAbsolute ? found : found.map((path) => path.subarray(2));
}

/**
 * Whether {@link expandGlob} may return a path for a pattern: for answers of a peer, which may
 * name anything. Components that have no wildcard are those of the pattern, the others match it, and
 * the path is written in the one way that `expandGlob` writes it.
 */
export function pathMatcher(pattern: Uint8Array): (path: Uint8Array) => boolean {
  const isAbsolute = pattern[0] === SLASH;
  const components = Buffer.from(pattern)
    .toString("latin1")
    .split("/")
    .filter((part) => part !== "")
    .map(nameMatcher);
  return (path) => {
    if (path.length === 0) return false;
    const names = Buffer.from(path).toString("latin1").split("/");
    if (isAbsolute && names.shift() !== "") return false;
    return (
      names.length === components.length && names.every((name, index) => components[index]?.(name))
    );
  };
}

/** Whether a name is one of a directory's entries that a component stands for. */
function nameMatcher(component: string): (name: string) => boolean {
  if (!/[*?[]/.test(component)) {
    const literalName = unescaped(component);
    return (name) => name === literalName;
  }
  const matches = componentMatcher(component);
  return (name) =>
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    !name.includes("\0") &&
    name.length <= NAME_MAX_BYTES &&
    (component.startsWith(".") || !name.startsWith(".")) &&
    matches(name);
}

/** A component without wildcards as the name that it stands for. */
function unescaped(component: string): string {
  return component.replaceAll(/\\(.)/gs, "$1");
}

function matchesIn(directory: BytesPath, component: string): Uint8Array[] {
  if (!/[*?[]/.test(component)) {
    const name = Buffer.from(unescaped(component), "latin1");
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

/** What one character of a name has to be; a `*` is any number of them. */
type Token = "*" | ((character: string) => boolean);

/**
 * Whether a name matches one component of a pattern, both as Latin-1 text. It needs at most as many
 * steps as the two lengths' product: a regular expression needs exponentially many for some patterns.
 */
export function componentMatcher(component: string): (name: string) => boolean {
  const tokens = readTokens(component);
  return (name) => {
    let token = 0;
    let at = 0;
    let star = -1;
    let starAt = 0;
    while (at < name.length) {
      const accepts = tokens[token];
      if (accepts === "*") {
        star = token++;
        starAt = at;
      } else if (accepts?.(name[at] ?? "")) {
        token++;
        at++;
      } else if (star === -1) {
        return false;
      } else {
        // Only the last star needs to match more: the part before it matches already.
        token = star + 1;
        at = ++starAt;
      }
    }
    while (tokens[token] === "*") token++;
    return token === tokens.length;
  };
}

function readTokens(component: string): Token[] {
  const tokens: Token[] = [];
  for (let index = 0; index < component.length; index++) {
    const character = component[index] ?? "";
    if (character === "*") {
      if (tokens.at(-1) !== "*") tokens.push("*");
    } else if (character === "?") tokens.push(() => true);
    else if (character === "\\") tokens.push(literal(component[++index] ?? "\\"));
    else if (character === "[") {
      const isNegated = /[!^]/.test(component[index + 1] ?? "");
      const begin = index + (isNegated ? 2 : 1);
      // A bracket that comes first is one of the characters.
      const end = component.indexOf("]", begin + 1);
      if (end === -1) tokens.push(literal("["));
      else {
        tokens.push(characterClass(component.slice(begin, end), isNegated));
        index = end;
      }
    } else tokens.push(literal(character));
  }
  return tokens;
}

/** Characters and ranges; a range such as z-a has nothing in it. */
function characterClass(body: string, isNegated: boolean): Token {
  const ranges: [string, string][] = [];
  for (let index = 0; index < body.length; index++) {
    const first = body[index] ?? "";
    const last = body[index + 1] === "-" ? body[index + 2] : undefined;
    ranges.push([first, last ?? first]);
    if (last !== undefined) index += 2;
  }
  return (character) =>
    ranges.some(([first, last]) => first <= character && character <= last) !== isNegated;
}

function literal(wanted: string): Token {
  return (character) => character === wanted;
}
