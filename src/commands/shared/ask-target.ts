/** Asks for a target that the command line does not have, on a terminal alone. */
import { useDefaultTarget } from "../../config/default-target.ts";
import type { Command } from "../../ui/command-definition.ts";
import { MissingArgumentError } from "../../ui/usage-error.ts";
import { hasTerminal } from "../../process/has-terminal.ts";

/**
 * Returns the words of a command line with a target in front if they have none and the user has named one.
 *
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function withAskedTarget(
  words: readonly string[],
  command: Pick<Command, "name" | "parse">,
): Promise<readonly string[]> {
  if (!lacksTarget(words, command) || !hasTerminal()) return words;
  const { promptForTarget } = await import("./target-prompt.ts");
  return await promptForTarget(command.name, (target) => [target, ...words]);
}

/** Whether all that a command line lacks is the operand `target`. */
export function lacksTarget(
  words: readonly string[],
  command: Pick<Command, "name" | "parse">,
): boolean {
  try {
    command.parse(words);
    return false;
  } catch (thrown) {
    return thrown instanceof MissingArgumentError && thrown.argumentName === "target";
  }
}

/**
 * Returns words of `cp`, of which some begin with a colon, with a target before those, if no other setting has
 * it and the user has named one.
 *
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function withAskedPathTarget(words: readonly string[]): Promise<readonly string[]> {
  if (!hasTerminal() || useDefaultTarget() !== undefined) return words;
  const { promptForTarget } = await import("./target-prompt.ts");
  return await promptForTarget("cp", (target) => beforeColons(words, target));
}

/** Returns the words with a target in front of those that begin with a colon. */
export function beforeColons(words: readonly string[], target: string): string[] {
  return words.map((word) => (word.startsWith(":") ? `${target}${word}` : word));
}
