/** Standard streams that the process was started without. */
import { readFileSync } from "node:fs";

const O_CLOEXEC = 0o2000000;

/**
 * Returns whether a standard stream was closed when this process started.
 *
 * The runtime opens /dev/null in place of a closed standard stream, close-on-exec. A stream that was
 * inherited through execve(2) never has that flag, /dev/null included. Without /proc the answer is no.
 */
export function wasClosedAtStart(fd: 0 | 1 | 2): boolean {
  try {
    return isCloseOnExec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
  } catch {
    return false;
  }
}

/** Reads the flags in a text of /proc/PID/fdinfo, which are octal: proc(5). */
export function isCloseOnExec(fdinfo: string): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(fdinfo)?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
}
