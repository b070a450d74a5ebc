/** Help texts, made from the command definitions. */
import { defineCommand, renderUsage, type ArgsDef } from "citty";
import type { Command } from "./command.ts";
import { obeysEscapes } from "./terminal-escapes.ts";

/** One command's whole help: usage, options, examples. */
export async function commandHelp(command: Command): Promise<string> {
  const { name, description, args, restName, examples } = command;
  const rendered = await renderUsage(
    defineCommand({ meta: { name: `vsockbox ${name}`, description }, args: args as ArgsDef }),
  );
  const plain = Bun.stripANSI(rendered).replaceAll(/ +$/gm, "");
  const usage = useColor() ? rendered : plain;
  const withRest =
    restName === undefined
      ? usage
      : usage.replace(/^(.*USAGE.*)$/m, `$1 ${dim(`[--] ${restName}`)}`);
  const shown = examples.map(
    ({ command: line, explanation }) => `  ${line}\n      ${dim(explanation)}`,
  );
  return `${withRest.trimEnd()}\n\n${heading("EXAMPLES")}\n\n${shown.join("\n")}\n`;
}

/** What {@link overview} shows of each command. */
export interface CommandSummary {
  name: string;
  description: string;
}

/** The list of all commands. */
export function overview(commands: readonly CommandSummary[], version: string): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, description }) => `  ${name.padEnd(width)}  ${description}`);
  return [
    `vsockbox ${version}: what host and guest need to talk over vsock, in one file`,
    "",
    `${heading("USAGE")} vsockbox COMMAND [OPTIONS]`,
    "",
    heading("COMMANDS"),
    "",
    ...rows,
    "",
    "  vsockbox COMMAND --help    options and examples of one command",
    "  vsockbox --version [--json]",
    "",
  ].join("\n");
}

const useColor = () => obeysEscapes(process.stdout) && !process.env["NO_COLOR"];
const heading = (text: string) => (useColor() ? `\u001B[1;4m${text}\u001B[0m` : text);
const dim = (text: string) => (useColor() ? `\u001B[2m${text}\u001B[0m` : text);
