/** Help texts, made from the definitions of the commands. */
import {
  type Command,
  COMMAND_GROUPS,
  type CommandGroup,
  type Example,
} from "./command-definition.ts";
import { type ListedArgument, listOperands, listOptions } from "./option-term.ts";
import { obeysEscapes } from "./terminal-escapes.ts";
import { usageLine } from "./usage-line.ts";
import { helpColumns, rows, wrap } from "./wrap.ts";

/** Spaces before the explanation of an example. */
const EXPLANATION_INDENT = 6;

/** How help is laid out. */
export interface HelpStyle {
  columns: number;
  /** Whether the terminal shows bold and dim text. */
  hasColor: boolean;
}

/** Returns the style for standard output. */
export function helpStyle(): HelpStyle {
  return {
    columns: helpColumns(process.env["COLUMNS"], process.stdout.columns),
    hasColor: obeysEscapes(process.stdout) && !process.env["NO_COLOR"],
  };
}

/** Returns one command's help: usage, operands, options by heading, examples. */
export function commandHelp(command: Command, style: HelpStyle): string {
  const { summary, args, examples } = command;
  const operands = listOperands(args).map(operandRow);
  const lines = [
    ...wrap(summary, style.columns),
    "",
    ...usage(usageLine(command), style),
    ...(operands.length === 0 ? [] : section("Arguments", rows(operands, style.columns), style)),
    ...listOptions(args).flatMap(({ heading, list }) =>
      section(heading, rows(list.map(optionRow), style.columns), style),
    ),
    ...section(
      "Examples",
      examples.flatMap((example) => exampleLines(example, style)),
      style,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

/** What {@link overview} shows of each command. */
export type CommandSummary = Pick<Command, "name" | "group" | "summary">;

/** Returns the list of all commands by group. */
export function overview(
  commands: readonly CommandSummary[],
  version: string,
  style: HelpStyle,
): string {
  const { columns } = style;
  // One column over all groups.
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = (group: CommandGroup) =>
    commands
      .filter((command) => command.group === group)
      .map(({ name, summary }) => ({ term: name.padEnd(width), description: summary }));
  const title = `vsockbox ${version}: commands, files and ports between VM hosts and guests over vsock`;
  const options = [
    { term: "-h, --help", description: "Print this list, or the help of a command" },
    { term: "-V, --version [--json]", description: "Print the version" },
  ];
  const lines = [
    ...wrap(title, columns),
    "",
    ...usage("vsockbox COMMAND [OPTIONS]", style),
    ...COMMAND_GROUPS.flatMap((group) => section(group, rows(list(group), columns), style)),
    ...section("Options", rows(options, columns), style),
  ];
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

/** Returns the help of a word that begins the names of several commands, such as `bench`. */
export function groupHelp(
  name: string,
  commands: readonly CommandSummary[],
  style: HelpStyle,
): string {
  const list = commands.filter((command) => command.name.startsWith(`${name} `));
  const width = Math.max(...list.map((command) => command.name.length));
  const terms = list.map((command) => ({
    term: command.name.padEnd(width),
    description: command.summary,
  }));
  const lines = [
    ...usage(`vsockbox ${name} COMMAND [OPTIONS]`, style),
    ...section("Commands", rows(terms, style.columns), style),
    "",
    ...wrap(`\`vsockbox ${name} COMMAND --help\` prints the help of one.`, style.columns),
  ];
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

/** Returns the usage; its continuation lines are indented. */
function usage(line: string, style: HelpStyle): string[] {
  const [first = "", ...others] = wrap(`Usage: ${line}`, style.columns);
  return [first.replace("Usage:", bold("Usage:", style)), ...others.map((part) => `    ${part}`)];
}

function section(heading: string, lines: readonly string[], style: HelpStyle): string[] {
  return ["", bold(`${heading}:`, style), ...lines];
}

function exampleLines({ command, explanation }: Example, style: HelpStyle): string[] {
  const lines = wrap(explanation, style.columns - EXPLANATION_INDENT);
  const indent = " ".repeat(EXPLANATION_INDENT);
  return [`  ${command}`, ...lines.map((line) => `${indent}${dim(line, style)}`)];
}

function operandRow({ long, description }: ListedArgument) {
  return { term: long, description };
}

function optionRow({ short, long, valueName, description }: ListedArgument) {
  const letter = short === undefined ? "    " : `-${short}, `;
  return { term: `${letter}${long} ${valueName}`.trimEnd(), description };
}

function bold(text: string, { hasColor }: HelpStyle): string {
  return hasColor ? `\u001B[1m${text}\u001B[0m` : text;
}

function dim(text: string, { hasColor }: HelpStyle): string {
  return hasColor ? `\u001B[2m${text}\u001B[0m` : text;
}
