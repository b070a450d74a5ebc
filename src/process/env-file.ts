/** Environment settings as the command line and env files give them. */
import { readFileSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";

function bad(what: string, message: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: "read environment",
    address: what,
    message,
    hint: "write NAME=VALUE, or NAME alone to pass on your own value",
  });
}

/**
 * One `NAME=VALUE`; `NAME` alone takes the value from `own`, and nothing where it is not set there.
 *
 * @throws {VsockboxError} USAGE for an empty name.
 */
export function parseSetting(
  text: string,
  own: Readonly<Record<string, string | undefined>>,
): [name: string, value: string] | undefined {
  const equals = text.indexOf("=");
  const name = equals === -1 ? text : text.slice(0, equals);
  if (name === "") throw bad(JSON.stringify(text), "the name is missing");
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
    const setting = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (setting.trim() === "" || setting.trimStart().startsWith("#")) return [];
    const parsed = parseSetting(setting.trimStart(), own);
    return parsed === undefined ? [] : [parsed];
  });
}

/**
 * Settings of files, then of single words: the last one wins.
 *
 * @throws {VsockboxError} USAGE for a setting without a name, IO for a file that cannot be read.
 */
export function collectEnvironment(
  files: readonly string[],
  settings: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const pairs = files.flatMap((file) => parseEnvFile(readEnvFile(file), own));
  for (const setting of settings) {
    const parsed = parseSetting(setting, own);
    if (parsed !== undefined) pairs.push(parsed);
  }
  return Object.fromEntries(pairs);
}

function readEnvFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "IO",
      operation: "read --env-file",
      address: path,
      message: errno === "ENOENT" ? "no such file" : message,
      errno,
    });
  }
}
