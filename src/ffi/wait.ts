/** Waiting for orphans that this process inherits: wait(2), prctl(2). */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
/** Leaves the process waitable. */
const WNOWAIT = 0x0100_0000;
const PR_SET_CHILD_SUBREAPER = 36;

/** sizeof(siginfo_t), and offsetof si_pid in it, on 64-bit architectures. */
const SIGINFO_BYTES = 128;
const SI_PID_OFFSET = 16;

/** Returns the pid of an ended child without collecting it; undefined if there is none. */
export function peekEndedChild(): number | undefined {
  const info = new DataView(new ArrayBuffer(SIGINFO_BYTES));
  if (libc().waitid(P_ALL, 0, ptr(info), WEXITED | WNOHANG | WNOWAIT) < 0) return undefined;
  const pid = info.getInt32(SI_PID_OFFSET, true);
  return pid > 0 ? pid : undefined;
}

/** Collects an ended child without waiting. Returns whether it had ended. */
export function collectChild(pid: number): boolean {
  return libc().waitpid(pid, null, WNOHANG) === pid;
}

/**
 * Makes this process the new parent of its descendants' orphans, as PID 1 is by itself.
 *
 * @throws {VsockboxError} IO, on a kernel older than Linux 3.4.
 */
export function becomeSubreaper(): void {
  if (libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) >= 0) return;
  throw systemError(lastErrno(), { operation: "become the child subreaper", code: "IO" });
}
