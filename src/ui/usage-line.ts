/** The usage line of a command, as a person types it. */
import { type Argument, type Arguments, kebabCase, shownName } from "./argument.ts";

/** Returns for example `vsockbox cp [OPTIONS] SRC... DST`. */
export function usageLine({ name, args }: { name: string; args: Arguments }): string {
  const entries = Object.entries(args);
  const isOption = ([, { type }]: [string, Argument<unknown>]) =>
    type === "flag" || type === "option";
  const required = entries.filter((entry) => isOption(entry) && entry[1].isRequired);
  const words = entries.filter((entry) => !isOption(entry));
  return [
    `vsockbox ${name}`,
    ...(entries.some(isOption) ? ["[OPTIONS]"] : []),
    ...required.map(([option, argument]) => shownOption(option, argument)),
    ...words.map(([operand, argument]) => shownOperand(operand, argument)),
  ].join(" ");
}

/** Returns an option with its value, in its short form if it has one: `-o FILE`. */
export function shownOption(name: string, { short, valueName }: Argument<unknown>): string {
  return `${short === undefined ? `--${kebabCase(name)}` : `-${short}`} ${valueName ?? ""}`;
}

/** Returns an operand as the usage line has it: `TARGET`, `[PORT]`, `PATH...`, `-- COMMAND [ARG...]`. */
function shownOperand(name: string, argument: Argument<unknown>): string {
  const shown = argument.valueName ?? shownName(name, argument);
  if (argument.type === "command-line") return shown.startsWith("[") ? shown : `-- ${shown}`;
  const repeated = argument.isRepeatable && !/\.\.\.| /.test(shown) ? `${shown}...` : shown;
  return argument.isRequired ? repeated : `[${repeated}]`;
}
