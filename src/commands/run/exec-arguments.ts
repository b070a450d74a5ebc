/** The options of `vsockbox exec`, and those that it shares with `vsockbox shell`. */
import { SANDBOX_WORDS } from "../../process/sandbox/sandbox-options.ts";
import { TARGET_DEFAULT, useDefaultTarget } from "../../config/default-target.ts";
import { namesTargets } from "../shared/target-list.ts";
import { agentArguments } from "../shared/target.ts";
import {
  flag,
  option,
  list,
  operand,
  commandLine,
  type ArgumentValues,
} from "../../ui/argument.ts";
import { word, anyWord, FILE, DIRECTORY, DURATION } from "../../ui/value-kind.ts";

/** `--env` and `--cwd`. */
export const settingsArguments = {
  env: list(word("NAME=VALUE"), {
    short: "e",
    summary: "Set an environment variable; NAME alone passes on this process's value",
  }),
  cwd: option(DIRECTORY, { short: "w", summary: "Run it in this directory of the guest" }),
};

/** `--user`. */
export const userArgument = {
  user: option(word("USER"), {
    short: "u",
    summary: "Run it as this user of the guest: a name, UID or UID:GID",
  }),
};

/** The arguments of `vsockbox exec`. */
export const execArguments = {
  target: operand(word("TARGET"), {
    summary:
      "The agent's address, or the name of a profile; several with commas between; USER@ in front is --user",
    defaultText: TARGET_DEFAULT,
    fallback: { accepts: namesTargets, word: useDefaultTarget },
  }),
  shell: option(anyWord("LINE"), {
    short: "c",
    summary: "Run a line in the shell of the guest's user instead of a command",
  }),
  ...settingsArguments,
  envFile: list(FILE, { summary: "Set the variables of a file, one NAME=VALUE per line" }),
  user: userArgument.user,
  timeout: option(DURATION, {
    defaultText: "never",
    summary: "End the command after this long, and exit with 124",
  }),
  noStdin: flag({ short: "n", summary: "Do not read standard input" }),
  tty: flag({
    short: "t",
    summary: "Run it on a pseudo-terminal, connected to this terminal",
  }),
  interactive: flag({
    short: "i",
    summary: "With --detach: keep its input open for attach; otherwise input is always passed on",
  }),
  detach: flag({ short: "d", summary: "Print its id, and leave it running in the guest" }),
  name: option(word("NAME"), { summary: "With --detach: a name for its id" }),
  sandbox: option(word("LIST"), { summary: `Confine it: ${SANDBOX_WORDS}` }),
  json: flag({ summary: "Print output and exit status as JSON lines" }),
  ...agentArguments,
  words: commandLine({
    valueName: "COMMAND [ARG...]",
    summary: "The command; from its first word on, options are its own",
  }),
};

/** The values of {@link execArguments}. */
export type ExecValues = ArgumentValues<typeof execArguments>;

/** The values of {@link settingsArguments}. */
export type SettingsValues = ArgumentValues<typeof settingsArguments>;
