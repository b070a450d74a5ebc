/** A command for agents that run shell lines: the Go agent, and vsockbox without the feature `argv`. */
import { textOf } from "./paths.ts";
import type { Program } from "./program.ts";
import { carryLine, quoteCommand } from "./shell-quote.ts";

/** The user's own shell as a login shell; SHELL is set from the guest's passwd for a user. */
const LOGIN_SHELL = 'exec "${SHELL:-/bin/sh}" -l';

/** The command's part of an ExecRequest. */
export interface GoCommandLine {
  command: string;
  args: string[];
  /** Variables that the line needs. */
  env: Record<string, string>;
}

/**
 * The command as a shell line.
 *
 * @param options `mayHaveArgs`: the agent honours `args`, which the Go agent ignores.
 */
export function goCommandLine(program: Program, options: { mayHaveArgs: boolean }): GoCommandLine {
  switch (program.kind) {
    case "go":
      return { command: program.command, args: program.args, env: {} };
    case "login-shell":
      return { command: LOGIN_SHELL, args: [], env: {} };
    case "shell-line":
      return { ...carryLine(textOf(program.line)), args: [] };
    case "vector": {
      const [command, ...args] = program.argv.map(decodeUtf8);
      const texts = args.filter((arg) => arg !== undefined);
      const isText = command !== undefined && texts.length === args.length;
      return options.mayHaveArgs && isText && texts.length > 0 && command !== ""
        ? { command, args: texts, env: {} }
        : { ...carryLine(quoteCommand(program.argv)), args: [] };
    }
  }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Settings as the object of an ExecRequest, whose JSON holds text alone. */
export function goEnvironmentOf(settings: readonly Uint8Array[]): Record<string, string> {
  return Object.fromEntries(
    settings.map((setting) => {
      const text = textOf(setting);
      const equals = text.indexOf("=");
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

/** What POSIX shells accept as a variable's name. */
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Variables that shells set, refuse or obey themselves, in dash, bash or busybox. */
const SHELL_VARIABLES: ReadonlySet<string> = new Set([
  "_",
  "BASHOPTS",
  "BASH_ENV",
  "ENV",
  "EUID",
  "IFS",
  "LINENO",
  "OLDPWD",
  "OPTARG",
  "OPTIND",
  "PPID",
  "PS1",
  "PS2",
  "PS4",
  "PWD",
  "RANDOM",
  "SECONDS",
  "SHELLOPTS",
  "SHLVL",
  "UID",
]);

/** Names of settings that a shell between drops, changes or obeys. */
export function namesLostInShell(settings: readonly Uint8Array[]): string[] {
  return settings.flatMap((setting) => {
    const text = textOf(setting);
    const name = text.slice(0, text.indexOf("="));
    const isLost = !SHELL_NAME.test(name) || SHELL_VARIABLES.has(name) || text.includes("\uFFFD");
    return isLost ? [name] : [];
  });
}
