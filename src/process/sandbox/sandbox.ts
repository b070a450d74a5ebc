/** Applies the options of a sandbox to this process before execve(2). */
import { existsSync } from "node:fs";
import { VsockboxError } from "../../errors.ts";
import { becomeUser, type Credentials } from "../../ffi/credentials.ts";
import { bringUpLoopback } from "../../ffi/loopback.ts";
import {
  dropBoundingSet,
  dropCapabilities,
  installSeccompFilter,
  lockSecurebits,
  makeMountsPrivate,
  Namespace,
  setNoNewPrivs,
  unshareNamespaces,
} from "../../ffi/sandbox.ts";
import { protectProc, protectSystem, restrictKernelWrites } from "./protect-kernel.ts";
import type { SandboxOption } from "./sandbox-options.ts";
import { seccompProgram } from "./seccomp.ts";
import {
  encodeProgram,
  SECCOMP_ARCHITECTURES,
  type SeccompArchitecture,
} from "./seccomp-program.ts";

/**
 * Moves this thread to namespaces of mounts and of the network, with what the options want in them: the
 * outermost step. The PID namespace, its /proc and the user namespace come after it.
 *
 * @throws {VsockboxError} REFUSED without CAP_SYS_ADMIN, UNAVAILABLE if the kernel cannot do it.
 */
export function enterNamespaces(sandbox: readonly SandboxOption[]): void {
  if (sandbox.includes("no-network")) {
    unshareNamespaces(Namespace.Network);
    bringUpLoopback();
  }
  if (!sandbox.includes("protect-kernel")) return;
  unshareNamespaces(Namespace.Mount);
  makeMountsPrivate();
  protectSystem();
  if (sandbox.includes("pid-namespace")) {
    if (existsSync("/proc/self/ns/ipc")) unshareNamespaces(Namespace.Ipc);
  } else {
    protectProc();
  }
}

/**
 * Changes the user and restricts this thread, and with it the program that it becomes next. Namespaces
 * are not made here.
 *
 * @throws {VsockboxError} REFUSED if the right to do it is missing, UNAVAILABLE if the kernel cannot do
 * it.
 */
export function becomeRestricted(
  user: Credentials | null,
  sandbox: readonly SandboxOption[],
): void {
  if (sandbox.includes("protect-kernel")) restrictKernelWrites();
  const dropsCapabilities = sandbox.includes("drop-caps");
  // These two need CAP_SETPCAP, which the change of user drops.
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
 * Returns the architecture of a filter for this process.
 *
 * @throws {VsockboxError} UNAVAILABLE if there is no filter for it.
 */
export function seccompArchitecture(): SeccompArchitecture {
  const arch = SECCOMP_ARCHITECTURES.find((known) => known === process.arch);
  if (arch !== undefined) return arch;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "install the seccomp filter",
    message: `${process.arch} is not supported`,
    hint: "leave seccomp out of the sandbox options",
  });
}
