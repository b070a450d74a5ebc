/** Environment settings of the command line and of env files. */
import { readFileSync } from "node:fs";
import { invalidValue, reasonOf, VsockboxError } from "../errors.ts";
import { splitSetting } from "./environment.ts";

/**
 * Texts here are either text, or bytes with a character each (Latin-1): the parser only reads
 * ASCII characters.
 */

/**
 * One `NAME=VALUE`; `NAME` alone has the value of `own`, and is skipped if it is not set there.
 *
 * @throws {VsockboxError} USAGE for an empty name.
 */
export function parseSetting(
  text: string,
  own: Readonly<Record<string, string | undefined>>,
): [name: string, value: string] | undefined {
  const equals = text.indexOf("=");
  const name = equals === -1 ? text : text.slice(0, equals);
  if (name === "") {
    throw invalidValue({
      value: textOf(text),
      name: "an environment variable",
      message: "the name is missing",
      hint: "write NAME=VALUE, or NAME alone to pass on your own value",
    });
  }
  const value = equals === -1 ? own[name] : text.slice(equals + 1);
  return value === undefined ? undefined : [name, value];
}

/**
 * An env file as docker reads it: a setting a line, empty lines and lines that begin with `#` passed
 * over, nothing unquoted or expanded.
 */
export function parseEnvFile(
  text: string,
  own: Readonly<Record<string, string | undefined>>,
): [name: string, value: string][] {
  return text.split("\n").flatMap((line) => {
    const setting = line.replace(/\r$/, "").replace(/^[ \t]+/, "");
    if (setting === "" || setting.startsWith("#")) return [];
    const parsed = parseSetting(setting, own);
    return parsed === undefined ? [] : [parsed];
  });
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

/** For messages: UTF-8 as text, if the characters are its bytes. */
function textOf(characters: string): string {
  const bytes = Buffer.from(characters, "latin1");
  return bytes.toString("latin1") === characters ? bytes.toString() : characters;
}

/**
 * `NAME=VALUE` settings of files, then of single words, byte for byte; the last one of a name wins.
 *
 * @param own this process's own settings, for names without a value.
 * @throws {VsockboxError} USAGE for a setting without a name, IO for a file that cannot be read.
 */
export function collectSettings(
  files: readonly string[],
  words: readonly Uint8Array[],
  own: readonly Uint8Array[],
): Uint8Array[] {
  const values = Object.fromEntries(
    own.map(splitSetting).map(({ name, value }) => [latin1(name), latin1(value)]),
  );
  const pairs = new Map(files.flatMap((file) => parseEnvFile(readEnvFile(file), values)));
  for (const word of words) {
    const [name, value] = parseSetting(latin1(word), values) ?? [];
    if (name !== undefined && value !== undefined) pairs.set(name, value);
  }
  return Array.from(pairs, ([name, value]) => Buffer.from(`${name}=${value}`, "latin1"));
}

function readEnvFile(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "IO",
      operation: "read the environment from",
      address: path,
      message: errno === "ENOENT" ? "no such file" : message,
      errno,
    });
  }
}
