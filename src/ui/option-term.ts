/** Options and operands as help, completions and man pages list them. */
import {
  type Argument,
  type Arguments,
  DEFAULT_HEADING,
  kebabCase,
  shownName,
} from "./argument.ts";

/** An option or operand in a list. */
export interface ListedArgument {
  /** The letter of the short option. */
  short: string | undefined;
  /** `--timeout`, or an operand's name. */
  long: string;
  /** Empty for a flag and for an operand. */
  valueName: string;
  /** The sentence of its definition, with its default. */
  description: string;
  argument: Argument<unknown>;
}

/** Arguments under one heading. */
export interface ArgumentSection {
  heading: string;
  list: readonly ListedArgument[];
}

/** The option that every command has. */
const HELP: ListedArgument = {
  short: "h",
  long: "--help",
  valueName: "",
  description: "Print this help",
  argument: {
    type: "flag",
    summary: "Print this help",
    short: "h",
    valueName: "",
    isRepeatable: false,
    isRequired: false,
    mayBeEmpty: false,
    replacedBy: undefined,
    fallback: undefined,
    defaultText: undefined,
    heading: DEFAULT_HEADING,
    choices: undefined,
    completes: undefined,
    read: () => undefined,
  },
};

/** Returns the operands of a command in their order, the command line of another program last. */
export function listOperands(args: Arguments): ListedArgument[] {
  return Object.entries(args)
    .filter(([, { type }]) => type === "operand" || type === "command-line")
    .map(([name, argument]) =>
      listed(argument.valueName ?? shownName(name, argument), argument, ""),
    );
}

/** Returns the options of a command by heading, in the order of the definition; `--help` is the last. */
export function listOptions(args: Arguments): ArgumentSection[] {
  const sections = new Map<string, ListedArgument[]>([[DEFAULT_HEADING, []]]);
  for (const [name, argument] of Object.entries(args)) {
    if (argument.type !== "flag" && argument.type !== "option") continue;
    const section = sections.get(argument.heading) ?? [];
    section.push(listed(`--${kebabCase(name)}`, argument, argument.valueName ?? ""));
    sections.set(argument.heading, section);
  }
  sections.get(DEFAULT_HEADING)?.push(HELP);
  return [...sections].map(([heading, list]) => ({ heading, list }));
}

function listed(long: string, argument: Argument<unknown>, valueName: string): ListedArgument {
  const { short, summary, defaultText, isRepeatable, type } = argument;
  const notes = [
    ...(isRepeatable && type === "option" ? ["repeatable"] : []),
    ...(defaultText === undefined ? [] : [`default: ${defaultText}`]),
  ];
  const description = notes.length === 0 ? summary : `${summary} (${notes.join("; ")})`;
  return { short, long, valueName, description, argument };
}
