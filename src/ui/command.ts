/**
 * What a command is made of. The definition is data: parsing, help and completions all come out of
 * it.
 */
import type { ArgDef } from "citty";

/**
 * An option or positional of a command: citty's definition, whether it may be repeated, and whether a
 * positional may be an empty word. A positional that may be repeated is the last one, and gets all
 * words that are left. `replacedBy` names the option that stands for a positional: with that option
 * the words after `--` do not fill it.
 */
export type ArgumentSpec = ArgDef & {
  repeatable?: boolean;
  mayBeEmpty?: boolean;
  replacedBy?: string;
};

/** One example of the help text. */
export interface Example {
  command: string;
  explanation: string;
}

/** The values of a parsed command line, by the names of the definition. */
export class Arguments {
  readonly #values: Readonly<Record<string, string | boolean | string[] | undefined>>;
  /** The words behind `--`, or behind the last positional of a command that takes a command line. */
  readonly rest: readonly string[];

  constructor(
    values: Readonly<Record<string, string | boolean | string[] | undefined>>,
    rest: readonly string[],
  ) {
    this.#values = values;
    this.rest = rest;
  }

  /** A string option or positional that was given. */
  string(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  /** A string option or positional that is required or has a default. */
  required(name: string): string {
    const value = this.string(name);
    if (value === undefined) throw new Error(`argument ${name} has no value`);
    return value;
  }

  /** Whether a boolean option is on. */
  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** All values of a repeatable option, in order. */
  list(name: string): string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value : [];
  }
}

/** A command of vsockbox. */
export interface Command {
  name: string;
  description: string;
  args: Readonly<Record<string, ArgumentSpec>>;
  /**
   * What the words behind the positionals are called, where the command takes a command line of its
   * own: from there on nothing is read as our option.
   */
  restName?: string;
  examples: readonly Example[];
  /** Changes words that another program's users type into ours, before anything is parsed. */
  rewrite?(words: readonly string[]): readonly string[];
  /** Does the work; gives the exit status. */
  run(args: Arguments): Promise<number>;
}
