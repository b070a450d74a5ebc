/** Files as `ls -l` and `stat` show them. */
import { showPath } from "../../files/bytes-path.ts";
import {
  field,
  type JsonObject,
  numberField,
  textField,
} from "../../protocols/agent/json-fields.ts";
import { readPathField } from "../../protocols/agent/paths.ts";

const TYPE_LETTERS: ReadonlyMap<string, string> = new Map([
  ["directory", "d"],
  ["link", "l"],
  ["fifo", "p"],
  ["socket", "s"],
  ["block", "b"],
  ["character", "c"],
]);

/** `drwxr-xr-x`. */
export function modeLetters(entry: JsonObject): string {
  const mode = numberField(entry, "mode");
  const bits = [..."rwxrwxrwx"].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
  const special: [bit: number, index: number, letter: string][] = [
    [0o4000, 2, "s"],
    [0o2000, 5, "s"],
    [0o1000, 8, "t"],
  ];
  for (const [bit, index, letter] of special) {
    if (mode & bit) bits[index] = bits[index] === "x" ? letter : letter.toUpperCase();
  }
  return (TYPE_LETTERS.get(textField(entry, "type")) ?? "-") + bits.join("");
}

/** The time in ISO form, to the second. */
export function fileTime(entry: JsonObject): string {
  const milliseconds = field(entry, "mtimeMs");
  if (typeof milliseconds !== "number") return "-";
  const time = new Date(milliseconds);
  return Number.isNaN(time.getTime()) ? "-" : time.toISOString().replace(/\.\d+Z$/, "Z");
}

/** Returns a link's target as text after its name, safe to print. */
export function linkTarget(entry: JsonObject): string {
  const target = linkTargetBytes(entry);
  return target === undefined ? "" : ` -> ${showPath(target)}`;
}

function linkTargetBytes(entry: JsonObject): Uint8Array | undefined {
  return field(entry, "target") === undefined ? undefined : readPathField("entry", entry, "target");
}

/**
 * One line of a long list.
 *
 * @param isExact the bytes of names as they are; else text that is safe to show.
 */
export function longLine(entry: JsonObject, name: Uint8Array, isExact: boolean): Uint8Array {
  const owner = `${numberField(entry, "uid")}:${numberField(entry, "gid")}`.padEnd(9);
  const size = String(numberField(entry, "size")).padStart(12);
  const facts = `${modeLetters(entry)} ${owner} ${size} ${fileTime(entry)} `;
  if (!isExact) return Buffer.from(`${facts}${showPath(name)}${linkTarget(entry)}`);
  const target = linkTargetBytes(entry);
  const arrow = target === undefined ? [] : [Buffer.from(" -> "), target];
  return Buffer.concat([Buffer.from(facts), name, ...arrow]);
}
