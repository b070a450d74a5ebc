/** User, confinement and environment of a command, the same for both protocols. */
import { VsockboxError } from "../../errors.ts";
import { onAbort } from "../../io/deadline.ts";
import { type Environment, ownEnvironment } from "../../process/environment.ts";
import { parseSandbox, type SandboxOption } from "../../process/sandbox/sandbox.ts";
import { resolveUser, systemUsers, type User } from "../../process/users.ts";
import { asStartError } from "../../start-error.ts";

/** TERM of a command whose request has none: what nearly every terminal understands. */
export const DEFAULT_TERM = "xterm-256color";

/** The parts of a request that both protocols have. */
export interface CommandContext {
  user: string | undefined;
  sandbox?: readonly string[] | undefined;
}

/**
 * The user of a request; undefined: this process's own.
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
 * The confinement of a request.
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

/** This process's environment with the variables that a user's passwd(5) entry sets. */
export function inheritedEnvironment(user: User | undefined): Environment {
  const own = ownEnvironment();
  if (user === undefined) return own;
  const { account } = user;
  // Names and directories of the agent's own user are not those of a uid without an entry.
  return account === undefined
    ? own.without(["USER", "LOGNAME", "SHELL"]).with({ HOME: "/" })
    : own.with(accountSettings(account));
}

/** What login(1) sets for a user. */
export function accountSettings(account: NonNullable<User["account"]>): Record<string, string> {
  const { home, name, shell } = account;
  return { HOME: home, USER: name, LOGNAME: name, SHELL: shell };
}

/** The request with the agent's own confinement added: a request may only narrow it further. */
export function confine<T extends CommandContext>(request: T, policy: readonly string[]): T {
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
