/** From a request of the Go agent's frames to what is started, and to the exit code of a failure. */
import type { VsockboxError } from "../../errors.ts";
import { DEFAULT_PATH, Environment } from "../../process/environment.ts";
import { shellCommand, type SpawnRequest } from "../../process/spawn.ts";
import type { CommandRequest } from "../../protocols/agent/messages.ts";
import { CARRIED_VARIABLE, wordsOfLine } from "../../protocols/agent/shell-quote.ts";
import { StartError } from "../../start-error.ts";
import { inheritedEnvironment, sandboxOf, userOf } from "./command-context.ts";

/** Exit code of a command that could not be started, as the Go agent has it. */
const STATUS_NOT_STARTED = 1;

/** Exit code of a command that the agent ended: 128 + SIGTERM. */
const STATUS_ENDED = 143;

/**
 * What is to be started for a request.
 *
 * @throws {StartError} user_unknown, sandbox_failed, not_found if there is no shell.
 */
export function goSpawnRequestOf(request: CommandRequest): SpawnRequest {
  const user = userOf(request);
  const env = inheritedEnvironment(user).with(request.env);
  return {
    ...goCommandOf(request, env),
    cwd: request.workingDir,
    user,
    sandbox: sandboxOf(request),
  };
}

/**
 * The command of a request: with arguments a program, without a line for sh, or the words of the
 * line in a guest without a shell.
 *
 * @throws {StartError} not_found if there is no shell and the line needs one.
 */
export function goCommandOf(
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
    message: "there is no shell (sh) here, and this line needs one",
    errno: "ENOENT",
    hint: "without a shell a program and its arguments can be run, with nothing to expand or redirect",
  });
}

/** The exit code of a command that could not be started: the shell's if the program is at fault. */
export function startStatus(error: VsockboxError): number {
  if (error.code === "ABORTED") return STATUS_ENDED;
  const isProgram = error instanceof StartError && error.stage === "program";
  return isProgram && error.kind !== "resources" ? error.exitStatus : STATUS_NOT_STARTED;
}
