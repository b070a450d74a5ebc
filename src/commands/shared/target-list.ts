/** Targets with commas between, for commands that do the same in each, and users before them. */
import { existsSync } from "node:fs";
import { TARGET_DEFAULT, useDefaultTarget } from "../../config/default-target.ts";
import { commandLineError } from "../../errors.ts";
import { operand } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { readAddress } from "./address-kind.ts";
import { canRead } from "./target.ts";

/** At least one target. */
export type TargetNames = [string, ...string[]];

/**
 * Reads an address, or several with commas between; a socket's path may itself have commas.
 *
 * @throws {VsockboxError} USAGE for an empty one.
 */
export function splitTargets(command: string, text: string): TargetNames {
  const path = text.replace(/^(?:unix|hybrid):/, "");
  const [first = "", ...more] = existsSync(path) ? [text] : text.split(",");
  const names: TargetNames = [first, ...more];
  if (names.includes("")) {
    throw commandLineError(command, `${JSON.stringify(text)} has an empty target`);
  }
  return names;
}

/** The operand of a command that does the same in several guests. */
export const targetListArgument = {
  target: operand(word("TARGET"), {
    summary: "The agent's address, or the name of a profile; several with commas between",
    defaultText: TARGET_DEFAULT,
    fallback: { accepts: namesTargets, word: useDefaultTarget },
  }),
};

/** A user before an address; a path with `@` in it has a colon or slash before that. */
const USER_BEFORE = /^([A-Za-z0-9_][A-Za-z0-9_.-]*)@(.+)$/;

/** A target, and the user in front of it. */
export interface UserTarget {
  user: string | undefined;
  target: string;
}

/** Reads `USER@TARGET`; an address without a user has undefined. */
export function splitUser(text: string): UserTarget {
  const [, user, target] = USER_BEFORE.exec(text) ?? [];
  return { user, target: target ?? text };
}

/**
 * Returns the user of targets, which may be written before them or as an option.
 *
 * @param option the value of `--user`.
 * @throws {VsockboxError} USAGE if it is written twice, or differs.
 */
export function commonUser(
  command: string,
  option: string | undefined,
  targets: readonly UserTarget[],
): string | undefined {
  const [first] = targets;
  const users = new Set(targets.map(({ user }) => user));
  if (users.size > 1) {
    throw commandLineError(
      command,
      "the targets have different users",
      "write the user before each of them, or use --user",
    );
  }
  if (first?.user === undefined) return option;
  if (option === undefined || option === first.user) return first.user;
  throw commandLineError(command, `the user is both ${first.user} and ${option}`);
}

/** Whether a word can be read as targets: addresses, or names of profiles that exist. */
export function namesTargets(text: string): boolean {
  return canRead(() => {
    for (const name of splitTargets("exec", text)) readAddress(splitUser(name).target);
  });
}
