/** Turns a request of the Go agent's modes into a spawn request, and a failed start into an exit code. */
import type { VsockboxError } from "../../errors.ts";
import { DEFAULT_PATH, Environment } from "../../process/environment.ts";
import { shellCommand, type SpawnRequest } from "../../process/spawn.ts";
import type { CommandRequest } from "../../protocols/agent/messages.ts";
import { CARRIED_VARIABLE, wordsOfLine } from "../../protocols/agent/shell-quote.ts";
import { StartError } from "../../start-error.ts";
import { inheritedEnvironment, sandboxOf, userOf } from "./command-context.ts";

/** Exit code of a command that could not be started, as in the Go agent. */
const STATUS_NOT_STARTED = 1;

/** Exit code of a command that the agent ended: 128 + SIGTERM. */
const STATUS_ENDED = 143;

/**
 * Returns the spawn request for a request of one of the Go agent's modes.
 *
 * @throws {StartError} user_unknown, sandbox_failed, not_found if there is no shell.
 */
export function goSpawnRequestOf(request: CommandRequest): SpawnRequest {
  const user = userOf(request);
  const env = inheritedEnvironment(user).with(request.env);
  return {
    ...vectorOfRequest(request, env),
    cwd: request.workingDir,
    user,
    sandbox: sandboxOf(request),
  };
}

/**
 * Returns the vector of a request: the program with its arguments if it has arguments, else a line for
 * sh, or the words of that line in a guest without a shell.
 *
 * @throws {StartError} not_found if there is no shell and the line needs one.
 */
export function vectorOfRequest(
  { command, args }: Pick<CommandRequest, "command" | "args">,
  env: Environment,
): Pick<SpawnRequest, "argv" | "env"> {
  if (args.length > 0) return { argv: [command, ...args], env };
  const path = new TextDecoder().decode(env.get("PATH") ?? Buffer.from(DEFAULT_PATH));
  if (Bun.which("sh", { PATH: path }) !== null) return { argv: shellCommand(command), env };
  const variables = env.toRecord() ?? {};
  const argv = wordsOfLine(command, variables);
  if (argv !== undefined) {
    const own = Object.entries(variables).filter(([name]) => !CARRIED_VARIABLE.test(name));
    return { argv, env: Environment.fromRecord(Object.fromEntries(own)) };
  }
  throw new StartError({
    kind: "not_found",
    stage: "program",
    operation: "run",
    message: "this line needs a shell, and sh does not exist",
    errno: "ENOENT",
    hint: "without a shell a program and its arguments can be run, with nothing to expand or redirect",
  });
}

/** Returns the exit code of a failed start: the shell's (126, 127) if the program is the reason. */
export function startStatus(error: VsockboxError): number {
  if (error.code === "ABORTED") return STATUS_ENDED;
  const isProgram = error instanceof StartError && error.stage === "program";
  return isProgram && error.kind !== "resources" ? error.exitStatus : STATUS_NOT_STARTED;
}
