/** From a request to what is started, and from a failed start to its exit code. */
import { VsockboxError } from "../errors.ts";
import { onAbort } from "../net/retry.ts";
import { DEFAULT_PATH, ownEnvironment } from "../process/environment.ts";
import { STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND } from "../process/exit-status.ts";
import { parseSandbox } from "../process/sandbox.ts";
import { shellCommand, type SpawnRequest } from "../process/spawn.ts";
import { resolveUser, systemUsers, type User } from "../process/users.ts";
import type { CommandRequest } from "../protocols/agent/messages.ts";
import { CARRIED_VARIABLE, wordsOfLine } from "../protocols/agent/shell-quote.ts";

/** TERM of a command whose request has none: what nearly every terminal understands. */
export const DEFAULT_TERM = "xterm-256color";

/** Exit code where a command could not be started, as the Go agent has it. */
const STATUS_NOT_STARTED = 1;

/** Exit code of a command that the agent ended: 128 + SIGTERM. */
const STATUS_ENDED = 143;

/**
 * What is to be started for a request.
 *
 * @throws {VsockboxError} CONFIG for a user that does not exist.
 */
export function spawnRequestOf(request: CommandRequest): SpawnRequest {
  const user = request.user === undefined ? undefined : resolveUser(request.user, systemUsers());
  const [first, ...rest] = request.args;
  const env = { ...inheritedEnvironment(user), ...request.env };
  return {
    ...(first === undefined
      ? lineCommand(request.command, env)
      : { argv: [request.command, first, ...rest] as const, env }),
    cwd: request.workingDir,
    user,
    sandbox: parseSandbox(request.sandbox ?? []),
  };
}

/** A line for the shell, or in a guest without one the words themselves. */
function lineCommand(
  line: string,
  env: Record<string, string>,
): Pick<SpawnRequest, "argv" | "env"> {
  if (Bun.which("sh", { PATH: env["PATH"] ?? DEFAULT_PATH }) !== null) {
    return { argv: shellCommand(line), env };
  }
  const argv = wordsOfLine(line, env);
  if (argv !== undefined) {
    const own = Object.entries(env).filter(([name]) => !CARRIED_VARIABLE.test(name));
    return { argv, env: Object.fromEntries(own) };
  }
  throw new VsockboxError({
    code: "CONFIG",
    operation: "run",
    message: "there is no shell (sh) here, and this line needs one",
    errno: "ENOENT",
    hint: "without a shell a program and its arguments can be run, with nothing to expand or redirect",
  });
}

function inheritedEnvironment(user: User | undefined): Record<string, string> {
  const account = user?.account;
  return account === undefined
    ? ownEnvironment()
    : {
        ...ownEnvironment(),
        HOME: account.home,
        USER: account.name,
        LOGNAME: account.name,
        SHELL: account.shell,
      };
}

/** The exit code for a command that could not be started: the shell's where it has one. */
export function startStatus({ code, operation, errno }: VsockboxError): number {
  if (code === "ABORTED") return STATUS_ENDED;
  if (operation !== "run") return STATUS_NOT_STARTED;
  if (errno === "ENOENT") return STATUS_NOT_FOUND;
  return errno === "EACCES" || errno === "ENOEXEC" ? STATUS_NOT_EXECUTABLE : STATUS_NOT_STARTED;
}

/** The request with the agent's own confinement added: a request may only narrow it further. */
export function confine<T extends CommandRequest>(request: T, policy: readonly string[]): T {
  return { ...request, sandbox: [...policy, ...(request.sandbox ?? [])] };
}

/** Calls `cancel` when the agent is to end, until disposed. */
export function onStopping(
  stopping: AbortSignal,
  cancel: (error: VsockboxError) => void,
): Disposable {
  return onAbort(stopping, () => {
    cancel(
      new VsockboxError({
        code: "ABORTED",
        operation: "run command",
        message: "the agent was stopped",
      }),
    );
  });
}
