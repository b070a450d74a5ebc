/** What a command is made of. Parsing, help, completions and man pages come out of the same data. */
import type { Arguments, ArgumentValues, Rules } from "./argument.ts";
import { parseWords } from "./parse-words.ts";
import { MissingArgumentError } from "./usage-error.ts";

/** The groups of the overview, in its order. */
export const COMMAND_GROUPS = [
  "Run commands",
  "Files",
  "Ports and bytes",
  "Guest services",
  "Host devices",
  "Images and installation",
  "Diagnostics",
] as const;

/** A heading of the overview. */
export type CommandGroup = (typeof COMMAND_GROUPS)[number];

/** One example of the help text. */
export interface Example {
  command: string;
  explanation: string;
}

/** What {@link defineCommand} reads. */
export interface CommandSettings<A extends Arguments> extends Rules<keyof A & string> {
  name: string;
  group: CommandGroup;
  /** One line in the imperative. */
  summary: string;
  args: A;
  examples: readonly Example[];
  /** Changes words of another program's users into ours, before anything is parsed. */
  rewrite?(words: readonly string[]): readonly string[];
  /** Completes the words before they are parsed. */
  complete?(words: readonly string[]): Promise<readonly string[]>;
  /** Asks on a terminal for an argument that the words lack; returns them with it. */
  ask?(
    words: readonly string[],
    command: Pick<Command, "name" | "parse">,
  ): Promise<readonly string[]>;
  /** Runs the command; returns the exit status. */
  run(args: ArgumentValues<A>): Promise<number>;
}

/** A command with any arguments. */
export interface Command extends Rules<string> {
  readonly name: string;
  readonly group: CommandGroup;
  readonly summary: string;
  readonly args: Arguments;
  readonly examples: readonly Example[];
  rewrite?(words: readonly string[]): readonly string[];
  /**
   * Returns the values of the words after the command's name, by name.
   *
   * @throws {VsockboxError} USAGE, naming the word that is wrong.
   */
  parse(words: readonly string[]): Readonly<Record<string, unknown>>;
  /**
   * Parses the words after the command's name and runs the command; returns the exit status.
   *
   * @throws {VsockboxError} USAGE, and what the command throws.
   */
  run(words: readonly string[]): Promise<number>;
}

/** A command whose arguments are known. */
export interface DefinedCommand<A extends Arguments> extends Command {
  readonly args: A;
  parse(words: readonly string[]): ArgumentValues<A>;
}

/**
 * Defines a command.
 *
 * @example
 * ```ts
 * export const command = defineCommand({
 *   name: "ping",
 *   group: "Diagnostics",
 *   summary: "Measure an agent's round trip",
 *   args: {
 *     target: operand(text("TARGET"), { summary: "The agent's address" }),
 *     interval: option(DURATION, { default: 1000, summary: "Pause between two pings" }),
 *   },
 *   examples: [{ command: "vsockbox ping 3", explanation: "The VM with CID 3" }],
 *   run: ({ target, interval }) => pingAgent(target, interval),
 * });
 * ```
 */
export function defineCommand<const A extends Arguments>(
  settings: CommandSettings<A>,
): DefinedCommand<A> {
  const parse = (words: readonly string[]) => parseWords(settings, words);
  const run = async (given: readonly string[]) => {
    const words = (await settings.complete?.(given)) ?? given;
    try {
      return settings.run(parse(words));
    } catch (thrown) {
      if (!settings.ask || !(thrown instanceof MissingArgumentError)) throw thrown;
      return settings.run(parse(await settings.ask(words, { name: settings.name, parse })));
    }
  };
  return { ...settings, parse, run };
}
