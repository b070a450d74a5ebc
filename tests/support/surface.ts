/**
 * The surface of the library as text: the declaration of every export of src/index.ts and of each type
 * that these mention, without comments, bodies and private members.
 *
 * It reads the sources as text, since no compiler among the packages writes declarations. What it relies
 * on is the form that the formatter makes: one blank, one declaration at the beginning of a line.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where a name is declared. */
interface Place {
  file: string;
  name: string;
}

/** A name that a file imports or exports from another one. */
interface Binding {
  local: string;
  from: Place;
  isType?: boolean;
}

/** Types whose own declaration is no promise: the text of an error names one of many operations. */
const OPAQUE: ReadonlySet<string> = new Set(["Operation"]);

const OPEN = "({[";
const CLOSE = ")}]";

/** Returns the text without comments; strings stay. */
function withoutComments(code: string): string {
  return code.replaceAll(
    /("(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)|\/\*[^]*?\*\/|(?<=^|[\s;])\/\/[^\n]*/g,
    (_, text: string | undefined) => text ?? "",
  );
}

/** Returns the index after the bracket that closes the one at `from`. */
function afterBracket(code: string, from: number): number {
  let depth = 0;
  for (let at = from; at < code.length; at++) {
    const char = code[at] ?? "";
    if (char === '"' || char === "`") {
      at = code.indexOf(char, at + 1);
      continue;
    }
    if (OPEN.includes(char)) depth++;
    else if (CLOSE.includes(char) && --depth === 0) return at + 1;
  }
  throw new Error("a bracket is not closed");
}

/**
 * Returns a signature that begins at `from`: up to its body, its initial value or its semicolon. A brace
 * is the beginning of a body unless a type is expected there.
 *
 * @param keepsValue whether an initial value belongs to it.
 */
function signatureAt(
  code: string,
  from: number,
  keepsValue: boolean,
): { text: string; end: number } {
  let at = from;
  let text = "";
  while (at < code.length) {
    const char = code[at] ?? "";
    if (char === ";") return { text, end: at + 1 };
    if (char === "=" && code[at + 1] !== ">" && !keepsValue) {
      return { text, end: signatureAt(code, at, true).end };
    }
    const expectsType = keepsValue || /(?:[:|&<,(=]|=>|extends|is)\s*$/.test(text);
    if (char === "{" && !expectsType) return { text, end: afterBracket(code, at) };
    const end = OPEN.includes(char)
      ? afterBracket(code, at)
      : char === "`"
        ? code.indexOf(char, at + 1) + 1
        : at + 1;
    text += code.slice(at, end);
    at = end;
  }
  return { text, end: at };
}

const tidy = (text: string) =>
  text
    .replaceAll(/\s+/g, " ")
    .replaceAll(/,? ([)}\]])/g, " $1")
    .replaceAll(/([([]) | (?=[)\]])/g, "$1")
    .trim();

/** Default values of parameters do not belong to a type, but whether there is one does. */
const withoutDefaults = (text: string) =>
  text.replaceAll(/ = (?:\{\}|Infinity|"[^"]*"|\w+)(?=[,)} ])/g, "?=");

/** Returns the public members of a class or interface body. */
function membersOf(body: string): string[] {
  const members: string[] = [];
  for (let at = 0; at < body.length;) {
    if (/[\s;]/.test(body[at] ?? "")) {
      at++;
      continue;
    }
    const { text, end } = signatureAt(body, at, false);
    const member = withoutDefaults(tidy(text)).replace(/^(?:override|async) /, "");
    if (!/^(?:readonly |static |get |set |async |\*)*#|^private /.test(member))
      members.push(member);
    at = end;
  }
  return members;
}

/** Returns the declaration of a name in a file, as lines; undefined if the file does not declare it. */
function declarationIn(code: string, name: string): string[] | undefined {
  const start = new RegExp(
    `^(?:export )?(?:declare )?(?:abstract )?(async )?(function\\*?|const|class|interface|type) ${name}\\b`,
    "gm",
  );
  const lines: string[] = [];
  for (const match of code.matchAll(start)) {
    const [head, , kind] = match;
    const from = match.index;
    if (kind === "class" || kind === "interface") {
      let brace = code.indexOf("{", from + head.length);
      // One in the arguments of a type is not that of the body.
      while (code[brace - 1] === "<") brace = code.indexOf("{", afterBracket(code, brace));
      const end = afterBracket(code, brace);
      lines.push(tidy(code.slice(from, brace)).replace(/^export /, ""));
      lines.push(...membersOf(code.slice(brace + 1, end - 1)).map((member) => `  ${member}`));
    } else if (kind === "const") {
      const end = signatureAt(code, from, true).text;
      lines.push(tidy(end).replace(/^export /, ""));
    } else if (kind === "type") {
      lines.push(tidy(signatureAt(code, from, true).text).replace(/^export /, ""));
    } else {
      const { text } = signatureAt(code, from, false);
      lines.push(withoutDefaults(tidy(text)).replace(/^export (?:async )?/, ""));
    }
  }
  // The signature of the implementation is not that of the overloads.
  const isOverloaded = lines.length > 1 && lines.every((line) => line.startsWith("function "));
  if (isOverloaded) lines.pop();
  return lines.length === 0 ? undefined : lines;
}

/** Returns what a file imports or exports from others: the local name, and where it comes from. */
function bindingsOf(file: string, code: string): Binding[] {
  const found: Binding[] = [];
  const pattern = /^(?:import|export) (type )?(?:\{([^}]*)\}|\*) from "(\.[^"]+)";/gm;
  for (const [, all, names, path = ""] of code.matchAll(pattern)) {
    const target = join(dirname(file), path);
    if (names === undefined) found.push({ local: "*", from: { file: target, name: "*" } });
    for (const part of names?.split(",") ?? []) {
      const [, one, name = "", local = name] =
        /^\s*(type )?(\w+)(?: as (\w+))?\s*$/.exec(part) ?? [];
      const isType = all !== undefined || one !== undefined;
      if (name !== "") found.push({ local, from: { file: target, name }, isType });
    }
  }
  return found;
}

/** Reads the surface of the library whose sources are in `root`. */
export function readSurface(root: string, entry = "index.ts"): string {
  const texts = new Map<string, string>();
  const codeOf = (file: string): string => {
    const known = texts.get(file);
    if (known !== undefined) return known;
    const code = withoutComments(readFileSync(join(root, file), "utf8"));
    texts.set(file, code);
    return code;
  };
  const namesIn = (file: string): Binding[] => {
    const code = codeOf(file);
    const own = [
      ...code.matchAll(/^export (?:const|class|(?:async )?function|interface|type) (\w+)/gm),
    ];
    return [
      ...own.map(([, name = ""]) => ({ local: name, from: { file, name } })),
      ...bindingsOf(file, code.replaceAll(/^import [^;]*;/gm, "")).flatMap((found) =>
        found.local === "*" ? namesIn(found.from.file) : [found],
      ),
    ];
  };
  const resolve = ({ file, name }: Place): Place | undefined => {
    if (declarationIn(codeOf(file), name) !== undefined) return { file, name };
    const binding = bindingsOf(file, codeOf(file)).find(({ local }) => local === name);
    return binding === undefined ? undefined : resolve(binding.from);
  };
  const key = ({ file, name }: Place) => `${file} ${name}`;
  const sections = new Map<string, string>();
  const queue: { place: Place; title: string }[] = [];
  for (const { local, from, isType } of namesIn(entry)) {
    const place = resolve(from);
    if (place === undefined) throw new Error(`${local} of ${entry} is not declared`);
    queue.push({ place, title: `export ${isType === true ? "type " : ""}${local}` });
  }
  const done = new Set(queue.map(({ place }) => key(place)));
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { place, title } = next;
    const isMade = !title.startsWith("export type ");
    const lines = (declarationIn(codeOf(place.file), place.name) ?? []).filter(
      // Programs cannot construct what is exported as a type alone.
      (line) => isMade || !line.startsWith("  constructor("),
    );
    sections.set(title, lines.join("\n"));
    for (const word of new Set(lines.join(" ").match(/\b[A-Z]\w+/g))) {
      const mentioned = resolve({ file: place.file, name: word });
      if (mentioned === undefined || OPAQUE.has(word) || done.has(key(mentioned))) continue;
      done.add(key(mentioned));
      queue.push({ place: mentioned, title: `mentioned ${word} (${mentioned.file})` });
    }
  }
  const ordered = [...sections].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `${ordered.map(([title, text]) => `${title}\n${text.replaceAll(/^/gm, "  ")}`).join("\n\n")}\n`;
}
