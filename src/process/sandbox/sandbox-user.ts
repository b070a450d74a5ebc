/** Whom a sandboxed command runs as, and what a sandbox for that user needs of the kernel. */
import { existsSync, statSync } from "node:fs";
import type { UserMap } from "../../ffi/namespaced-child.ts";
import { StartError } from "../../start-error.ts";
import type { SandboxOption } from "./sandbox-options.ts";
import { isLimitWord, readLimit } from "./limits.ts";

/**
 * Users of the user namespace in which a sandboxed root runs: the last 65,536 of those that systemd
 * keeps for containers, so that no account and no other service has them. Its root is an ordinary user
 * of the machine, which owns no file of it.
 */
export const SANDBOX_USERS: UserMap = { first: 0x6fff_0000, count: 0x1_0000 };

/** The properties of the system that decide, for tests. */
export interface SystemFacts {
  /** Whether the kernel has a namespace of this name below /proc/self/ns. */
  hasNamespace(name: string): boolean;
  /** Mode of the running executable; undefined without /proc. */
  executableMode(): number | undefined;
}

const THIS_MACHINE: SystemFacts = {
  hasNamespace: (name) => existsSync(`/proc/self/ns/${name}`),
  executableMode: () => statSync("/proc/self/exe", { throwIfNoEntry: false })?.mode,
};

/**
 * The options for a command of that user: a user namespace is for root alone.
 *
 * @param uid the user's, before any namespace.
 * @throws {StartError} sandbox_failed if the system does not support the request.
 */
export function sandboxForUser(
  sandbox: readonly SandboxOption[],
  uid: number,
  machine: SystemFacts = THIS_MACHINE,
): SandboxOption[] {
  const isRoot = uid === 0;
  const options = sandbox.filter((option) => isRoot || option !== "user-namespace");
  if (options.length === 0) return options;
  const mode = machine.executableMode();
  if (mode === undefined) {
    throw refuse(
      "it needs /proc: commands start from the running executable, whatever is at its path by then",
      "mount -t proc proc /proc",
    );
  }
  const hasUsers = options.includes("user-namespace");
  if (hasUsers && !machine.hasNamespace("user")) {
    throw refuse(
      "a command of root needs a user namespace, which this kernel does not have",
      "name another user with --user",
    );
  }
  if (hasUsers && (mode & 0o001) === 0) {
    throw refuse(
      "a command of root runs in a user namespace, whose users may not execute vsockbox",
      "chmod o+x the executable, or name another user with --user",
    );
  }
  if (options.includes("no-network") && !machine.hasNamespace("net")) {
    throw refuse("this kernel does not have network namespaces", "leave out no-network");
  }
  if (isRoot && !hasUsers && options.some(limitsProcesses)) {
    throw refuse(
      "the kernel does not limit the processes of root",
      "add user-namespace, or name another user with --user",
    );
  }
  return options;
}

const limitsProcesses = (option: SandboxOption) =>
  isLimitWord(option) && readLimit(option).name === "processes";

function refuse(message: string, hint: string): StartError {
  return new StartError({
    kind: "sandbox_failed",
    stage: "sandbox",
    operation: "make the sandbox",
    message,
    hint,
  });
}

/** Who owns the command's pipes and terminal outside: its user, or that of its user namespace's root. */
export function ownerOf(
  sandbox: readonly SandboxOption[],
  user: { uid: number; gid: number } | undefined,
): { uid: number; gid: number } | undefined {
  const { first } = SANDBOX_USERS;
  return sandbox.includes("user-namespace") ? { uid: first, gid: first } : user;
}
