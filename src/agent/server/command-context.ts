/** User, confinement and environment of a command, for channels and the Go agent's modes alike. */
import { VsockboxError } from "../../errors.ts";
import { onAbort } from "../../io/deadline.ts";
import { type Environment, ownEnvironment } from "../../process/environment.ts";
import { parseSandbox, type SandboxOption } from "../../process/sandbox/sandbox-options.ts";
import { resolveUser, systemUsers, type User } from "../../process/users.ts";
import { asStartError } from "../../start-error.ts";

/** TERM of a command whose request has none; nearly every terminal supports it. */
export const DEFAULT_TERM = "xterm-256color";

/** The parts of a request that both protocols have. */
export interface CommandContext {
  user: string | undefined;
  sandbox?: readonly string[] | undefined;
}

/**
 * Returns the user of a request; undefined: this process's own.
 *
 * @throws {StartError} user_unknown.
 */
export function userOf({ user }: CommandContext): User | undefined {
  if (user === undefined) return undefined;
  try {
    return resolveUser(user, systemUsers());
  } catch (thrown) {
    throw asStartError(thrown, { kind: "user_unknown", stage: "user" });
  }
}

/**
 * Returns the confinement of a request.
 *
 * @throws {StartError} sandbox_failed for a word that does not exist.
 */
export function sandboxOf({ sandbox }: CommandContext): SandboxOption[] {
  try {
    return parseSandbox(sandbox ?? []);
  } catch (thrown) {
    throw asStartError(thrown, { kind: "sandbox_failed", stage: "sandbox" });
  }
}

/** Returns this process's environment with the variables of a user's passwd(5) entry. */
export function inheritedEnvironment(user: User | undefined): Environment {
  const own = ownEnvironment();
  if (user === undefined) return own;
  const { account } = user;
  // Names and directories of the agent's own user are not those of a uid without an entry.
  return account === undefined
    ? own.without(["USER", "LOGNAME", "SHELL"]).with({ HOME: "/" })
    : own.with(accountSettings(account));
}

/** Returns the variables that login(1) sets for a user. */
export function accountSettings(account: NonNullable<User["account"]>): Record<string, string> {
  const { home, name, shell } = account;
  return { HOME: home, USER: name, LOGNAME: name, SHELL: shell };
}

/** Returns the request with the agent's confinement added: a request can only narrow it further. */
export function confine<T extends CommandContext>(request: T, policy: readonly string[]): T {
  return { ...request, sandbox: [...policy, ...(request.sandbox ?? [])] };
}

/** Calls `cancel` when the agent stops, until disposed. */
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
