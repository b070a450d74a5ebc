/** Manual pages in roff's man macros, made from the definitions of the commands. */
import { type Command, COMMAND_GROUPS, type CommandGroup } from "./command-definition.ts";
import { type ListedArgument, listOperands, listOptions } from "./option-term.ts";
import { usageLine } from "./usage-line.ts";

/** Returns the manual page of one command. */
export function commandPage(command: Command, version: string): string {
  const { name, summary, args, examples } = command;
  const operands = listOperands(args);
  return page([
    title(`vsockbox-${name.replaceAll(" ", "-")}`, version),
    ".SH NAME",
    `${roff(`vsockbox-${name.replaceAll(" ", "-")}`)} \\- ${roff(summary)}`,
    ".SH SYNOPSIS",
    roff(usageLine(command)),
    ...(operands.length === 0 ? [] : [".SH ARGUMENTS", ...operands.flatMap(entry)]),
    ...listOptions(args).flatMap(({ heading, list }) => sectionOf(heading, list)),
    ".SH EXAMPLES",
    ...examples.flatMap(({ command: line, explanation }) => [".TP", bold(line), roff(explanation)]),
    ".SH SEE ALSO",
    "\\fBvsockbox\\fR(1)",
  ]);
}

/** Returns the manual page of vsockbox: all commands by group. */
export function overviewPage(commands: readonly Command[], version: string): string {
  return page([
    title("vsockbox", version),
    ".SH NAME",
    "vsockbox \\- commands, files and ports between VM hosts and guests over vsock",
    ".SH SYNOPSIS",
    roff("vsockbox COMMAND [OPTIONS]"),
    ...COMMAND_GROUPS.flatMap((group) => groupOf(group, commands)),
    ".SH SEE ALSO",
    `${roff("vsockbox man COMMAND")} prints the page of a command.`,
  ]);
}

function groupOf(group: CommandGroup, commands: readonly Command[]): string[] {
  const own = commands.filter((command) => command.group === group);
  const entries = own.flatMap(({ name, summary }) => [".TP", bold(name), roff(summary)]);
  return [`.SH ${roff(group.toUpperCase())}`, ...entries];
}

function page(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

function title(name: string, version: string): string {
  return `.TH ${roff(name.toUpperCase())} 1 "" ${JSON.stringify(`vsockbox ${version}`)}`;
}

function sectionOf(heading: string, list: readonly ListedArgument[]): string[] {
  return [`.SH ${roff(heading.toUpperCase())}`, ...list.flatMap(entry)];
}

function entry({ short, long, valueName, description }: ListedArgument): string[] {
  const forms = [...(short === undefined ? [] : [bold(`-${short}`)]), bold(long)].join(", ");
  const value = valueName === "" ? "" : ` \\fI${roff(valueName)}\\fR`;
  return [".TP", `${forms}${value}`, roff(description)];
}

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

/** Returns a text that roff prints as it is: no escape, no request at the begin of a line. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("`", "\\(ga");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
