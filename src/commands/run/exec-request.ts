/** What `exec` and `shell` are asked to run, byte for byte. */
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import { commandLineError } from "../../errors.ts";
import { collectSettings } from "../../process/env-file.ts";
import { ownSettings } from "../../process/environment.ts";
import { rawArguments, rawWords } from "../../process/raw-arguments.ts";
import { parseSandbox } from "../../process/sandbox/sandbox-options.ts";
import type { ExecValues, SettingsValues } from "./exec-arguments.ts";
import type { Program } from "../../protocols/agent/program.ts";

/**
 * The command of `exec`.
 *
 * @throws {VsockboxError} USAGE, IO for an env file.
 */
export function execRequest(args: ExecValues): CommandToRun {
  return {
    program: programOf(args),
    env: commandSettings(args, args.envFile),
    workingDir: commandDirectory(args),
    user: args.user,
    sandbox: sandboxOf(args),
    tty: undefined,
    input: false,
  };
}

/** `--env-file` and `--env`. */
export function commandSettings(
  { env }: SettingsValues,
  envFiles: readonly string[] = [],
): Uint8Array[] {
  return collectSettings(envFiles, rawWords(env), ownSettings());
}

/** `--cwd`. */
export function commandDirectory(args: SettingsValues): Uint8Array | undefined {
  const directory = args.cwd;
  return directory === undefined ? undefined : rawWords([directory])[0];
}

/** Checked here as well: an error of ours is more precise than one from the guest. */
function sandboxOf(args: ExecValues): string[] | undefined {
  const list = args.sandbox;
  return list === undefined ? undefined : parseSandbox(list.split(",").map((word) => word.trim()));
}

function programOf(args: ExecValues): Program {
  const line = args.shell;
  const fail = (message: string): never => {
    throw commandLineError(
      "exec",
      message,
      "vsockbox exec TARGET -- COMMAND ARGS…, or vsockbox exec TARGET --shell 'LINE'",
    );
  };
  if (line === undefined) {
    if (args.words.length === 0) fail("the command is missing");
    return { kind: "vector", argv: rawArguments(args.words.length, args.words) };
  }
  const [bytes] = rawWords([line]);
  if (bytes === undefined || bytes.length === 0) return fail("--shell has an empty line");
  return { kind: "shell-line", line: bytes };
}
