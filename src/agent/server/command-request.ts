/** From a request on a channel to what is started. */
import { VsockboxError } from "../../errors.ts";
import type { Environment } from "../../process/environment.ts";
import { isExecutable } from "../../process/executable.ts";
import type { SpawnRequest, Word } from "../../process/spawn.ts";
import { parsePasswd, systemUsers, type User } from "../../process/users.ts";
import type { ExecOperation, Program } from "../../protocols/agent/exec-request.ts";
import { DEFAULT_TERM, inheritedEnvironment, sandboxOf, userOf } from "./command-context.ts";
import { goCommandOf } from "./go-request.ts";

/** The shell if the user has none. */
const USUAL_SHELL = "/bin/sh";

/** Shells that only refuse a login. */
const REFUSING_SHELL = /\/(?:nologin|false)$/;

/**
 * What is to be started for a request.
 *
 * @throws {StartError} user_unknown, sandbox_failed.
 */
export function spawnRequestOf(request: ExecOperation): SpawnRequest {
  const user = userOf(request);
  const base = inheritedEnvironment(user);
  const own = request.tty === undefined ? base : base.with({ TERM: DEFAULT_TERM });
  const env = own.with(request.env);
  return {
    ...programOf(request.program, env, user),
    cwd: request.workingDir,
    user,
    sandbox: sandboxOf(request),
  };
}

function programOf(
  program: Program,
  env: Environment,
  user: User | undefined,
): Pick<SpawnRequest, "argv" | "env"> {
  switch (program.kind) {
    case "go":
      return goCommandOf(program, env);
    case "vector":
      return { argv: vectorOf(program.argv), env };
    case "login-shell":
      return { argv: [shellOf(user) ?? usualShell(), "-l"], env };
    case "shell-line":
      return { argv: shellLine(shellOf(user), program.line), env };
  }
}

function vectorOf([program, ...args]: readonly Uint8Array[]): [Word, ...Word[]] {
  if (program !== undefined) return [program, ...args];
  throw new VsockboxError({
    code: "BAD_DATA",
    operation: "read exec request",
    message: "argv is empty",
  });
}

/** A line that begins like an option would be taken for one of the shell's own. */
function shellLine(shell: string | undefined, line: Uint8Array): [Word, ...Word[]] {
  const usable = shell !== undefined && !REFUSING_SHELL.test(shell) && isExecutable(shell);
  const isOption = line[0] === 0x2d || line[0] === 0x2b;
  return [usable ? shell : usualShell(), "-c", ...(isOption ? ["--"] : []), line];
}

/** The shell that passwd(5) has for the user, or for this process's. */
function shellOf(user: User | undefined): string | undefined {
  if (user !== undefined) return user.account?.shell;
  const uid = process.geteuid?.();
  return parsePasswd(systemUsers().passwd).find((entry) => entry.uid === uid)?.shell;
}

function usualShell(): string {
  return isExecutable(USUAL_SHELL) ? USUAL_SHELL : "sh";
}
