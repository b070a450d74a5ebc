/** What a command may be kept from: the options, and applying them to this process before execve. */
import { VsockboxError } from "../errors.ts";
import { becomeUser, type Credentials } from "../ffi/credentials.ts";
import {
  dropBoundingSet,
  dropCapabilities,
  installSeccompFilter,
  lockSecurebits,
  setNoNewPrivs,
} from "../ffi/sandbox.ts";
import { seccompProgram } from "./seccomp.ts";
import {
  encodeProgram,
  SECCOMP_ARCHITECTURES,
  type SeccompArchitecture,
} from "./seccomp-program.ts";

/**
 * The options, in the order in which they are listed:
 *
 * - `no-new-privs`: set-user-ID programs and file capabilities give nothing;
 * - `drop-caps`: no capabilities, also for root, and no way back to them; a root still owns root's
 *   files, those of /proc/sys among them, so this is best given together with another user;
 * - `pid-namespace`: sees no other processes, and everything it started ends with it; its mounts
 *   are its own, too;
 * - `seccomp`: system calls that act on the kernel or on other processes give EPERM; implies
 *   `no-new-privs`, without which the kernel takes no filter from an ordinary user.
 */
export const SANDBOX_OPTIONS = ["no-new-privs", "drop-caps", "pid-namespace", "seccomp"] as const;

/** One of {@link SANDBOX_OPTIONS}. */
export type SandboxOption = (typeof SANDBOX_OPTIONS)[number];

/**
 * Reads the words of `--sandbox no-new-privs,seccomp`; `all` is all of them. Each option comes once,
 * in the order of {@link SANDBOX_OPTIONS}.
 *
 * @throws {VsockboxError} USAGE for an unknown word.
 */
export function parseSandbox(words: readonly string[]): SandboxOption[] {
  const unknown = words.find((word) => word !== "all" && !isOption(word));
  if (unknown !== undefined) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "parse --sandbox",
      address: JSON.stringify(words.join(",")),
      message: `${JSON.stringify(unknown)} is no sandbox option`,
      hint: `give some of ${SANDBOX_OPTIONS.join(", ")} with commas between, or all`,
    });
  }
  return SANDBOX_OPTIONS.filter((option) => words.includes("all") || words.includes(option));
}

function isOption(word: string): boolean {
  return SANDBOX_OPTIONS.some((option) => option === word);
}

/**
 * Changes the user and restricts this thread, and with it the program that it becomes next. The
 * PID namespace is not made here.
 *
 * @throws {VsockboxError} REFUSED where the right to do it is missing, UNAVAILABLE where the kernel
 * cannot do it.
 */
export function becomeRestricted(
  user: Credentials | null,
  sandbox: readonly SandboxOption[],
): void {
  const dropsCapabilities = sandbox.includes("drop-caps");
  // These two need CAP_SETPCAP, which the change of user takes away.
  if (dropsCapabilities) dropBoundingSet();
  if (dropsCapabilities) lockSecurebits();
  if (user !== null) becomeUser(user);
  if (dropsCapabilities) dropCapabilities();
  const filters = sandbox.includes("seccomp");
  if (filters || sandbox.includes("no-new-privs")) setNoNewPrivs();
  // Last: the filter may refuse what the calls above need.
  if (filters) installSeccompFilter(encodeProgram(seccompProgram(seccompArchitecture())));
}

/**
 * This machine's, for a filter.
 *
 * @throws {VsockboxError} UNAVAILABLE where there is no filter for it.
 */
export function seccompArchitecture(): SeccompArchitecture {
  const arch = SECCOMP_ARCHITECTURES.find((known) => known === process.arch);
  if (arch !== undefined) return arch;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "install the seccomp filter",
    message: `there is none for ${process.arch}`,
    hint: "leave seccomp out of the sandbox options",
  });
}
