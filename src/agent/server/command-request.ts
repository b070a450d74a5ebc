/** Turns an exec request of a channel into a spawn request: user, environment, program, directory. */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { VsockboxError } from "../../errors.ts";
import type { Environment } from "../../process/environment.ts";
import { isExecutable } from "../../process/executable.ts";
import type { SpawnRequest, Word } from "../../process/spawn.ts";
import { parsePasswd, systemUsers, type User } from "../../process/users.ts";
import type { ExecOperation } from "../../protocols/agent/exec-request.ts";
import type { Program } from "../../protocols/agent/program.ts";
import {
  accountSettings,
  DEFAULT_TERM,
  inheritedEnvironment,
  sandboxOf,
  userOf,
} from "./command-context.ts";
import { vectorOfRequest } from "./go-request.ts";

/** The shell of a user without a usable one. */
const USUAL_SHELL = "/bin/sh";

/** Shells that refuse every login. */
const REFUSING_SHELL = /\/(?:nologin|false)$/;

/**
 * Returns the spawn request for an exec request.
 *
 * @throws {StartError} user_unknown, sandbox_failed.
 */
export function spawnRequestOf(request: ExecOperation): SpawnRequest {
  const user = userOf(request);
  const login = request.program.kind === "login-shell" ? accountOf(user) : undefined;
  const base = inheritedEnvironment(user).with(login === undefined ? {} : accountSettings(login));
  const own = request.tty === undefined ? base : base.with({ TERM: DEFAULT_TERM });
  const env = own.with(request.env);
  return {
    ...programOf(request.program, env, user),
    cwd: request.workingDir ?? (request.program.kind === "login-shell" ? homeOf(login) : undefined),
    user,
    sandbox: sandboxOf(request),
  };
}

function programOf(
  program: Program,
  env: Environment,
  user: User | undefined,
): Pick<SpawnRequest, "argv" | "argv0" | "env"> {
  switch (program.kind) {
    case "go":
      return vectorOfRequest(program, env);
    case "vector":
      return { argv: vectorOf(program.argv), env };
    case "login-shell":
      return { ...loginShell(shellOf(user)), env };
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

/** The vector that runs a line; `--` keeps one that begins like an option from being parsed as one. */
function shellLine(shell: string | undefined, line: Uint8Array): [Word, ...Word[]] {
  const usable = shell !== undefined && !REFUSING_SHELL.test(shell) && isExecutable(shell);
  const isOption = line[0] === 0x2d || line[0] === 0x2b;
  return [usable ? shell : usualShell(), "-c", ...(isOption ? ["--"] : []), line];
}

/** The shell as login(1) starts it: a dash before its name makes it a login shell. */
function loginShell(shell: string | undefined): Pick<SpawnRequest, "argv" | "argv0"> {
  const path = shell !== undefined && isExecutable(shell) ? shell : usualShell();
  return { argv: [path], argv0: `-${basename(path)}` };
}

/** The shell that passwd(5) has for the user, or for this process's. */
function shellOf(user: User | undefined): string | undefined {
  return accountOf(user)?.shell;
}

/** The passwd(5) entry of the user, or of this process's. */
function accountOf(user: User | undefined): User["account"] {
  if (user !== undefined) return user.account;
  const uid = process.geteuid?.();
  return parsePasswd(systemUsers().passwd).find((entry) => entry.uid === uid);
}

/** The working directory of a login shell: `/` if the home directory does not exist. */
function homeOf(account: User["account"]): string {
  const home = account?.home ?? "/";
  return statSync(home, { throwIfNoEntry: false })?.isDirectory() === true ? home : "/";
}

function usualShell(): string {
  return isExecutable(USUAL_SHELL) ? USUAL_SHELL : "sh";
}
