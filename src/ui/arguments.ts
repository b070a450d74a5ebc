/** Command lines into {@link Arguments}, strictly: an unknown or doubled option is an error. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { VsockboxError } from "../errors.ts";
import { closest } from "../text/closest.ts";
import { Arguments, type ArgumentSpec, type Command } from "./command.ts";

/** Stands before words such as `-1:1024`, which are CIDs: no option of ours is a digit. */
const NO_OPTION = "\uE000";

const hideNumber = (word: string) => (/^(?:-[0-9]|\uE000)/.test(word) ? NO_OPTION + word : word);

const showNumber = (word: string) => (word.startsWith(NO_OPTION) ? word.slice(1) : word);

/**
 * Parses the words behind the command's name.
 *
 * @throws {VsockboxError} USAGE, naming the word that is wrong.
 */
export function parseArguments(command: Command, given: readonly string[]): Arguments {
  const words = command.rewrite?.(given) ?? given;
  const positionals = Object.entries(command.args).filter(([, { type }]) => type === "positional");
  const options = optionsOf(command.args);
  const split = splitRest(command, words, options, positionals.length);
  const { own } = split;
  const parsed = parseStrictly(command, own, options);
  const values: Record<string, string | boolean | string[] | undefined> = {};

  for (const [name, spec] of Object.entries(command.args)) {
    values[name] = spec.type === "positional" ? undefined : valueOf(parsed.values[name]);
    values[name] ??= spec.default === undefined ? undefined : String(spec.default);
    if (spec.type === "boolean") values[name] = isOn(parsed.values[name] ?? spec.default);
    checkChoice(command, name, spec, values[name]);
  }
  const ownWords = parsed.positionals.map(showNumber);
  const rest = [...split.rest];
  if (split.isTerminated) {
    // A word after `--` is never an option: missing positionals first, then the rest.
    const expected = positionals.filter(([, { replacedBy }]) => {
      return replacedBy === undefined || values[replacedBy] === undefined;
    });
    const missing = Math.max(0, expected.length - ownWords.length);
    const taken = rest.splice(0, command.restName === undefined ? rest.length : missing);
    ownWords.push(...taken);
    if (taken.length > 0 && rest[0] === "--") rest.shift();
  }
  positionals.forEach(([name, spec], index) => {
    const left = ownWords.slice(index);
    if (spec.repeatable) values[name] = left.length === 0 ? undefined : left;
    else values[name] = left[0] ?? values[name];
    if (values[name] === undefined && spec.required !== false) {
      throw usage(command, `${name.toUpperCase()} is missing`);
    }
  });
  const takesAll = positionals.at(-1)?.[1].repeatable === true;
  const extra = takesAll ? undefined : ownWords[positionals.length];
  if (extra !== undefined) throw usage(command, `unexpected argument ${JSON.stringify(extra)}`);
  ownWords.forEach((word, index) => {
    const [name = "", spec] = positionals[Math.min(index, positionals.length - 1)] ?? [];
    if (word === "" && spec?.mayBeEmpty !== true)
      throw usage(command, `${name.toUpperCase()} is empty`);
  });
  return new Arguments(values, rest);
}

/** Only boolean options have boolean values, and none of those is repeatable. */
function valueOf(value: string | boolean | (string | boolean)[] | undefined) {
  if (Array.isArray(value)) return value.map((item) => showNumber(String(item)));
  return typeof value === "string" ? showNumber(value) : value;
}

function isOn(value: unknown): boolean {
  return value === true || value === "true";
}

function usage(command: Command, message: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: command.name,
    message,
    hint: `\`vsockbox ${command.name} --help\` shows the options and examples`,
  });
}

function optionsOf(specs: Command["args"]): ParseArgsOptionsConfig {
  const options: ParseArgsOptionsConfig = {};
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.type === "positional") continue;
    const alias = "alias" in spec ? [spec.alias ?? []].flat()[0] : undefined;
    options[name] = {
      type: spec.type === "boolean" ? "boolean" : "string",
      multiple: spec.repeatable === true,
      ...(alias === undefined ? {} : { short: alias }),
    };
  }
  return options;
}

interface SplitWords {
  own: string[];
  rest: string[];
  /** Whether `--` ends the options. */
  isTerminated: boolean;
}

/** Cuts off what belongs to the remote command, so that its options stay its own. */
function splitRest(
  command: Command,
  words: readonly string[],
  options: ParseArgsOptionsConfig,
  positionalCount: number,
): SplitWords {
  const cut = (index: number, restIndex = index): SplitWords => ({
    own: words.slice(0, index),
    rest: words.slice(restIndex),
    isTerminated: restIndex > index,
  });
  const { tokens } = parseArgs({
    args: words.map(hideNumber),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  let seen = 0;
  for (const token of tokens) {
    if (token.kind === "option-terminator") return cut(token.index, token.index + 1);
    if (token.kind !== "positional" || command.restName === undefined) continue;
    if (seen++ === positionalCount) {
      return cut(token.index);
    }
  }
  return cut(words.length);
}

function parseStrictly(command: Command, own: string[], options: ParseArgsOptionsConfig) {
  try {
    const parsed = parseArgs({
      args: own.map(hideNumber),
      options,
      strict: true,
      allowPositionals: true,
      tokens: true,
    });
    refuseDoubles(command, parsed.tokens, options);
    return parsed;
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    throw usage(command, explain(thrown, options));
  }
}

function refuseDoubles(
  command: Command,
  tokens: ReadonlyArray<{ kind: string; name?: string }>,
  options: ParseArgsOptionsConfig,
): void {
  const seen = new Set<string>();
  for (const { kind, name } of tokens) {
    if (kind !== "option" || name === undefined || options[name]?.multiple) continue;
    if (options[name]?.type === "string" && seen.has(name)) {
      throw usage(command, `--${name} is given twice`);
    }
    seen.add(name);
  }
}

function explain(thrown: unknown, options: ParseArgsOptionsConfig): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const ambiguous = /^Option '(?:-\w, )?(--[^' ]*)[^']*' argument is ambiguous/.exec(message)?.[1];
  if (ambiguous !== undefined) {
    return `a value that begins with a dash is written ${ambiguous}=VALUE`;
  }
  const unknown = /^Unknown option '(-+[^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return message.replace(/\.\s.*$/s, "").replaceAll("'", '"');
  const near = closest(unknown.replace(/^-+/, ""), Object.keys(options));
  return near === undefined
    ? `unknown option ${unknown}`
    : `unknown option ${unknown}; did you mean --${near}?`;
}

function checkChoice(command: Command, name: string, spec: ArgumentSpec, value: unknown): void {
  if (spec.type !== "enum" || value === undefined) return;
  const choices = spec.options ?? [];
  if (!choices.includes(String(value))) {
    throw usage(command, `--${name} must be one of ${choices.join(", ")}`);
  }
}
