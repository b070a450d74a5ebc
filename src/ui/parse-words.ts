/**
 * The words of a command line to values.
 *
 * The words are split into tokens once. Options may stand anywhere before `--`, or before the command
 * line of another program; a long option is accepted in full only, short ones may be joined (`-it`), and
 * a value follows as the next word or after `=`.
 */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import {
  type Argument,
  type Arguments,
  type ArgumentValues,
  kebabCase,
  type Rules,
  shownName,
} from "./argument.ts";
import { missing, unknownOption, usageError } from "./usage-error.ts";

/** What parsing needs of a command. */
export interface Parsed<A extends Arguments = Arguments> extends Rules<keyof A & string> {
  readonly name: string;
  readonly args: A;
  rewrite?(words: readonly string[]): readonly string[];
}

/** Prefix of words such as `-1:1024`, which are CIDs: no option of ours is a digit. */
const NO_OPTION = "\uE000";

const hideNumber = (word: string) => (/^(?:-[0-9]|\uE000)/.test(word) ? NO_OPTION + word : word);

const showNumber = (word: string) => (word.startsWith(NO_OPTION) ? word.slice(1) : word);

/** An option as it was written. */
interface GivenOption {
  /** The long name, or the letter of one that is unknown. */
  name: string;
  /** As it was written, such as `-x`. */
  rawName: string;
  value: string | undefined;
  /** Whether the value was written after `=` or in the same word. */
  isInline: boolean;
}

/** The words of a command line, sorted. */
interface SortedWords {
  options: GivenOption[];
  operands: string[];
  /** The words after `--`, or those of the other program's command line. */
  rest: string[];
  /** Whether `--` ends the options. */
  isTerminated: boolean;
}

/**
 * Parses the words after the command's name.
 *
 * @throws {VsockboxError} USAGE, naming the word that is wrong.
 */
export function parseWords<A extends Arguments>(
  command: Parsed<A>,
  words: readonly string[],
): ArgumentValues<A> {
  const sorted = sortWords(command, words);
  const given = new Map<string, string[]>();
  for (const option of sorted.options) addOption(command, given, option);
  addOperands(command, given, sorted);
  checkRules(command, given);
  const values: Record<string, unknown> = {};
  for (const [name, argument] of Object.entries(command.args)) {
    const own = given.get(name) ?? [];
    if (own.length === 0 && argument.isRequired) throw missing(command, name, argument);
    values[name] = argument.read(own, shownName(name, argument));
  }
  // The one place that knows that each value is of its argument's type.
  return values as ArgumentValues<A>;
}

/**
 * Returns whether one of the options, in one of these forms, stands before `--` and before another
 * program's command line, whether or not the rest of the words is valid.
 */
export function asksFor(
  command: Parsed,
  words: readonly string[],
  ...forms: readonly string[]
): boolean {
  return sortWords(command, words).options.some(({ rawName }) => forms.includes(rawName));
}

/** Cuts off the other program's command line first, so that its options stay its own. */
function sortWords(command: Parsed, given: readonly string[]): SortedWords {
  const words = command.rewrite?.(given) ?? given;
  const entries = Object.values(command.args);
  const hasCommandLine = entries.some(({ type }) => type === "command-line");
  const operandCount = entries.filter(({ type }) => type === "operand").length;
  const { tokens } = parseArgs({
    args: words.map(hideNumber),
    options: optionsOf(command.args),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const sorted: SortedWords = { options: [], operands: [], rest: [], isTerminated: false };
  for (const token of tokens) {
    if (token.kind === "option-terminator") {
      return { ...sorted, rest: words.slice(token.index + 1), isTerminated: true };
    }
    if (token.kind === "option") {
      const { name, rawName, value, inlineValue } = token;
      sorted.options.push({ name, rawName, value, isInline: inlineValue === true });
      continue;
    }
    if (hasCommandLine && sorted.operands.length === operandCount) {
      return { ...sorted, rest: words.slice(token.index) };
    }
    sorted.operands.push(showNumber(token.value));
  }
  return sorted;
}

function optionsOf(args: Arguments): ParseArgsOptionsConfig {
  const options: ParseArgsOptionsConfig = {};
  for (const [name, { type, short }] of Object.entries(args)) {
    if (type !== "flag" && type !== "option") continue;
    options[kebabCase(name)] = {
      type: type === "flag" ? "boolean" : "string",
      ...(short === undefined ? {} : { short }),
    };
  }
  return options;
}

function addOption(
  command: Parsed,
  given: Map<string, string[]>,
  { name: longName, rawName, value, isInline }: GivenOption,
): void {
  const found = Object.entries(command.args).find(
    ([name, { type }]) => (type === "flag" || type === "option") && kebabCase(name) === longName,
  );
  if (found === undefined) throw unknownOption(command, rawName);
  const [name, argument] = found;
  const shown = `--${longName}`;
  const earlier = given.get(name) ?? [];
  if (argument.type === "flag") {
    if (value !== undefined) throw usageError(command, `${shown} does not accept a value`);
    given.set(name, [""]);
    return;
  }
  if (value === undefined) throw usageError(command, `${shown} needs a value`);
  if (!isInline && value.length > 1 && value.startsWith("-")) {
    throw usageError(command, `a value that begins with a dash is written ${shown}=VALUE`);
  }
  if (earlier.length > 0 && !argument.isRepeatable) {
    throw usageError(command, `${shown} is given twice`);
  }
  given.set(name, [...earlier, showNumber(value)]);
}

type Entry = readonly [name: string, argument: Argument<unknown>];

function addOperands(command: Parsed, given: Map<string, string[]>, sorted: SortedWords): void {
  const entries = Object.entries(command.args);
  const operands = entries.filter(([, { type }]) => type === "operand");
  const line = entries.find(([, { type }]) => type === "command-line");
  const words = [...sorted.operands];
  const rest = [...sorted.rest];
  const fallback = fallbackWord(command, sorted);
  if (fallback !== undefined) words.unshift(fallback);
  if (sorted.isTerminated) {
    // A word after `--` is never an option: first the operands that are missing, then the rest.
    const expected = operands.filter(([, { replacedBy }]) => !given.has(replacedBy ?? ""));
    const count = line === undefined ? rest.length : Math.max(0, expected.length - words.length);
    const moved = rest.splice(0, count);
    words.push(...moved);
    if (moved.length > 0 && rest[0] === "--") rest.shift();
  }
  for (const [index, word] of words.entries()) {
    const entry: Entry | undefined =
      operands[index] ?? (operands.at(-1)?.[1].isRepeatable === true ? operands.at(-1) : undefined);
    if (entry === undefined) {
      throw usageError(command, `unexpected argument ${JSON.stringify(word)}`);
    }
    const [name, argument] = entry;
    if (word === "" && !argument.mayBeEmpty) {
      throw usageError(command, `${shownName(name, argument)} is empty`);
    }
    given.set(name, [...(given.get(name) ?? []), word]);
  }
  if (line !== undefined && rest.length > 0) given.set(line[0], rest);
}

/**
 * Returns what stands for the first operand, if the command line has too few words for it to be there.
 *
 * @throws {VsockboxError} USAGE if the command line of a program has taken its place.
 */
function fallbackWord(command: Parsed, { operands, rest }: SortedWords): string | undefined {
  const entries = Object.entries(command.args);
  const required = entries.filter(([, { type, isRequired }]) => type === "operand" && isRequired);
  const [first] = required;
  const fallback = first?.[1].fallback;
  if (first === undefined || fallback === undefined) return undefined;
  const hasCommandLine = entries.some(([, { type }]) => type === "command-line");
  const count = hasCommandLine ? operands.length : operands.length + rest.length;
  if (count >= required.length) return undefined;
  const [candidate] = hasCommandLine ? rest : [];
  if (candidate !== undefined && fallback.accepts(candidate)) return undefined;
  const word = fallback.word();
  if (word === undefined && candidate !== undefined) throw missing(command, ...first);
  return word;
}

function checkRules(command: Parsed, given: ReadonlyMap<string, readonly string[]>): void {
  const shown = (name: string) => {
    const argument = command.args[name];
    return argument === undefined ? name : shownName(name, argument);
  };
  for (const [name, others = []] of Object.entries<readonly string[] | undefined>(
    command.conflicts ?? {},
  )) {
    const other = given.has(name) ? others.find((candidate) => given.has(candidate)) : undefined;
    if (other !== undefined) {
      throw usageError(command, `${shown(name)} cannot be used with ${shown(other)}`);
    }
  }
  for (const [name, others = []] of Object.entries<readonly string[] | undefined>(
    command.requires ?? {},
  )) {
    if (!given.has(name) || others.some((other) => given.has(other))) continue;
    throw usageError(command, `${shown(name)} requires ${others.map(shown).join(" or ")}`);
  }
}
