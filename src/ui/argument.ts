/**
 * Options and operands of a command as data.
 *
 * A command's `args` is a record of arguments by name. The name in camel case is the property that `run`
 * reads; the same name in kebab case is the long option: `connectTimeout` is `--connect-timeout`. Each
 * function here makes one argument and fixes the type of its value:
 *
 * | function | on the command line | value |
 * | --- | --- | --- |
 * | `flag` | `--json` | boolean |
 * | `option` | `--timeout TIME` | T, or undefined without `default` and `required` |
 * | `list` | `--env NAME=VALUE`, repeatable | T[] |
 * | `operand` | `TARGET` | T, or undefined with `optional` |
 * | `operands` | `PATH...` | T[] |
 * | `commandLine` | `-- COMMAND [ARG...]` | the remaining words |
 */
import { invalidValue } from "../errors.ts";
import type { ValueKind } from "./value-kind.ts";

/** The heading of arguments without one of their own. */
export const DEFAULT_HEADING = "Options";

/** Stands for an operand that the command line does not have. */
export interface OperandFallback {
  /** Whether a word after `--` is meant as the operand, if the command line of a program follows it. */
  accepts(word: string): boolean;
  /**
   * Returns the operand; undefined: it is missing.
   *
   * @throws {VsockboxError} CONFIG.
   */
  word(): string | undefined;
}

/** An option or operand, and how its value is read. */
export interface Argument<T> {
  readonly type: "flag" | "option" | "operand" | "command-line";
  /** A sentence without a full stop. */
  readonly summary: string;
  /** The letter of the short option. */
  readonly short: string | undefined;
  /** What stands for the value; empty for a flag. Undefined: the name in capitals. */
  readonly valueName: string | undefined;
  readonly isRepeatable: boolean;
  readonly isRequired: boolean;
  /** Whether the empty word is accepted. */
  readonly mayBeEmpty: boolean;
  /** The option that stands for an operand: with it, the words after `--` do not fill the operand. */
  readonly replacedBy: string | undefined;
  /** Of the first operand: what stands for it if there are too few words. */
  readonly fallback: OperandFallback | undefined;
  /** What applies without it, as help shows it. */
  readonly defaultText: string | undefined;
  /** The heading under which help lists it. */
  readonly heading: string;
  /** All values, if they can be listed. */
  readonly choices: readonly string[] | undefined;
  /** What a shell offers for the value. */
  readonly completes: "file" | "directory" | undefined;
  /**
   * Returns the value.
   *
   * @param words each occurrence on the command line, in order; empty if it was not given.
   * @param shown the argument as errors name it, such as `--timeout`.
   * @throws {VsockboxError} USAGE for a word that is not a value.
   */
  read(words: readonly string[], shown: string): T;
}

/** The arguments of a command, by name. */
export type Arguments = Readonly<Record<string, Argument<unknown>>>;

/** What `run` receives for the arguments `A`. */
export type ArgumentValues<A extends Arguments> = {
  readonly [Name in keyof A]: A[Name] extends Argument<infer T> ? T : never;
};

/** Arguments that cannot be used together, or that need others. */
export interface Rules<Name extends string> {
  /** Each pair is written once, under either name. */
  conflicts?: { readonly [N in Name]?: readonly Name[] };
  /** Needs at least one of the others. */
  requires?: { readonly [N in Name]?: readonly Name[] };
}

interface Described {
  summary: string;
  heading?: string;
}

interface OptionSettings extends Described {
  short?: string;
  valueName?: string;
  /** What applies without the option, if it is not a constant. */
  defaultText?: string;
}

const PLAIN = {
  short: undefined,
  isRepeatable: false,
  isRequired: false,
  mayBeEmpty: false,
  replacedBy: undefined,
  fallback: undefined,
  defaultText: undefined,
  heading: DEFAULT_HEADING,
  choices: undefined,
  completes: undefined,
} as const;

/** An option without a value. */
export function flag(settings: Described & { short?: string }): Argument<boolean> {
  return {
    ...PLAIN,
    ...settings,
    type: "flag",
    valueName: "",
    read: (words) => words.length > 0,
  };
}

/** An option with a value: undefined if it is not given, unless there is a default or it is required. */
export function option<T>(
  kind: ValueKind<T>,
  settings: OptionSettings & ({ default: NoInfer<T> } | { required: true }),
): Argument<T>;
export function option<T>(kind: ValueKind<T>, settings: OptionSettings): Argument<T | undefined>;
export function option<T>(
  kind: ValueKind<T>,
  {
    default: preset,
    required = false,
    ...settings
  }: OptionSettings & { default?: T; required?: boolean },
): Argument<T | undefined> {
  return {
    ...PLAIN,
    ...common(kind),
    defaultText: preset === undefined ? undefined : kind.format(preset),
    ...settings,
    type: "option",
    isRequired: required,
    read: ([word], shown) => (word === undefined ? preset : readValue(kind, word, shown)),
  };
}

/** An option that may be repeated. */
export function list<T>(kind: ValueKind<T>, settings: OptionSettings): Argument<readonly T[]> {
  return {
    ...PLAIN,
    ...common(kind),
    ...settings,
    type: "option",
    isRepeatable: true,
    read: (words, shown) => words.map((word) => readValue(kind, word, shown)),
  };
}

interface OperandSettings extends Described {
  valueName?: string;
  defaultText?: string;
  mayBeEmpty?: boolean;
  /** The name of the option that stands for the operand. */
  replacedBy?: string;
  fallback?: OperandFallback;
}

/** An operand; required unless it is optional or has a default. */
export function operand<T>(
  kind: ValueKind<T>,
  settings: OperandSettings & { default: NoInfer<T> },
): Argument<T>;
export function operand<T>(
  kind: ValueKind<T>,
  settings: OperandSettings & { optional: true },
): Argument<T | undefined>;
export function operand<T>(kind: ValueKind<T>, settings: OperandSettings): Argument<T>;
export function operand<T>(
  kind: ValueKind<T>,
  {
    default: preset,
    optional = false,
    ...settings
  }: OperandSettings & { default?: T; optional?: boolean },
): Argument<T | undefined> {
  return {
    ...PLAIN,
    ...common(kind),
    valueName: undefined,
    defaultText: preset === undefined ? undefined : kind.format(preset),
    ...settings,
    type: "operand",
    isRequired: preset === undefined && !optional,
    read: ([word], shown) => (word === undefined ? preset : readValue(kind, word, shown)),
  };
}

/** The last operand of a command, which receives all words that are left. */
export function operands<T>(
  kind: ValueKind<T>,
  { optional = false, ...settings }: OperandSettings & { optional?: boolean },
): Argument<readonly T[]> {
  return {
    ...PLAIN,
    ...common(kind),
    valueName: undefined,
    ...settings,
    type: "operand",
    isRepeatable: true,
    isRequired: !optional,
    read: (words, shown) => words.map((word) => readValue(kind, word, shown)),
  };
}

/**
 * The command line of another program: all words after the operands, or after `--`. From there on no word
 * is an option of this command.
 */
export function commandLine(
  settings: Described & { valueName: string },
): Argument<readonly string[]> {
  return {
    ...PLAIN,
    ...settings,
    type: "command-line",
    isRepeatable: true,
    mayBeEmpty: true,
    read: (words) => words,
  };
}

function common({ valueName, choices, completes }: ValueKind<unknown>) {
  return { valueName, choices, completes };
}

function readValue<T>(kind: ValueKind<T>, word: string, shown: string): T {
  const value = kind.parse(word);
  if (value === undefined) {
    const most = kind.exceeded?.(word);
    const message = most === undefined ? `expected ${kind.expected}` : `expected at most ${most}`;
    throw invalidValue({ value: word, name: shown, message });
  }
  return value;
}

/** Returns the name of an argument as a long option has it: `connectTimeout` is `connect-timeout`. */
export function kebabCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Returns an argument as errors name it: `--timeout`, or an operand's first required word, such as `SRC`. */
export function shownName(name: string, { type, valueName }: Argument<unknown>): string {
  if (type === "flag" || type === "option") return `--${kebabCase(name)}`;
  return /\b[A-Z:]+\b(?!\] )/.exec(valueName ?? "")?.[0] ?? kebabCase(name).toUpperCase();
}
