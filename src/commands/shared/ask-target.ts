/** Asks for a target that the command line does not have, on a terminal alone. */
import { useDefaultTarget } from "../../config/default-target.ts";
import type { AskingCommand } from "../../ui/command-definition.ts";
import { MissingArgumentError } from "../../ui/usage-error.ts";
import { canPrompt } from "./can-prompt.ts";

/**
 * Returns the words of a command line with a target in front if they have none and the user has named one.
 *
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function withAskedTarget(
  words: readonly string[],
  command: AskingCommand,
): Promise<readonly string[]> {
  if (!lacksTarget(words, command) || !canPrompt()) return words;
  const { promptForTarget } = await import("./target-prompt.ts");
  return await promptForTarget(command.name, (target) => [target, ...words]);
}

/** Whether all that a command line lacks is the operand `target`. */
export function lacksTarget(words: readonly string[], command: AskingCommand): boolean {
  try {
    command.parse(words);
    return false;
  } catch (thrown) {
    return thrown instanceof MissingArgumentError && thrown.argumentName === "target";
  }
}

/**
 * Returns the words of `cp` with a target before paths that begin with a colon, if no other setting has
 * it and the user has named one.
 *
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function withAskedPathTarget(words: readonly string[]): Promise<readonly string[]> {
  const needsTarget = words.some((word) => word.startsWith(":"));
  if (!needsTarget || !canPrompt() || useDefaultTarget() !== undefined) return words;
  const { promptForTarget } = await import("./target-prompt.ts");
  return await promptForTarget("cp", (target) => beforeColons(words, target));
}

/** Returns the words with a target in front of those that begin with a colon. */
export function beforeColons(words: readonly string[], target: string): string[] {
  return words.map((word) => (word.startsWith(":") ? `${target}${word}` : word));
}
