/** Errors about a command line, from the command's definition. */
import { commandLineError, VsockboxError } from "../errors.ts";
import { closest } from "../text/closest.ts";
import { type Argument, type Arguments, kebabCase, shownName } from "./argument.ts";
import { shownOption, usageLine } from "./usage-line.ts";

/** What the errors need of a command. */
interface Named {
  readonly name: string;
  readonly args: Arguments;
}

/**
 * Returns the error about a command line.
 *
 * @param hint by default the usage line.
 */
export function usageError(
  command: Named,
  message: string,
  hint = `usage: ${usageLine(command)}`,
): VsockboxError {
  return commandLineError(command.name, message, hint);
}

/** An argument that the command line does not have. */
export class MissingArgumentError extends VsockboxError {
  /** Its name in the command's definition. */
  readonly argumentName: string;

  constructor(argumentName: string, { code, operation, message, reason, hint }: VsockboxError) {
    super({ code, operation, text: message, message: reason, hint });
    this.argumentName = argumentName;
  }
}

/** Returns the error about an argument that is required, by its name in the definition. */
export function missing(command: Named, name: string, argument: Argument<unknown>): VsockboxError {
  const shown =
    argument.type === "option" ? shownOption(name, argument) : shownName(name, argument);
  return new MissingArgumentError(name, usageError(command, `${shown} is missing`));
}

/**
 * Returns the error about an option that the command does not have, with the one that may be meant.
 *
 * @param rawName as it was written, such as `-x` or `--jsn`.
 */
export function unknownOption(command: Named, rawName: string): VsockboxError {
  const near = nearestOption(command.args, rawName);
  return usageError(
    command,
    near === undefined
      ? `unknown option ${rawName}`
      : `unknown option ${rawName}; did you mean ${near}?`,
    `\`vsockbox ${command.name} --help\` lists the options`,
  );
}

/** A letter may stand for the one long option that begins with it. */
function nearestOption(args: Arguments, rawName: string): string | undefined {
  const names = Object.entries(args)
    .filter(([, { type }]) => type === "flag" || type === "option")
    .map(([name]) => kebabCase(name));
  const word = rawName.replace(/^-+/, "");
  if (rawName.startsWith("--")) {
    const near = closest(word, names);
    return near === undefined ? undefined : `--${near}`;
  }
  const [first, ...others] = names.filter((name) => name.startsWith(word.toLowerCase()));
  return first === undefined || others.length > 0 ? undefined : `--${first}`;
}
