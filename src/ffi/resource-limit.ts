/** Limits of this process and its children: setrlimit(2). */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";

/**
 * Sets the soft and the hard limit of a resource, or lowers them to it. Without CAP_SYS_RESOURCE the
 * kernel refuses to raise the hard limit: then it stays as it is, which is lower.
 *
 * @throws {VsockboxError} IO.
 */
export function setResourceLimit(resource: number, value: number, name: string): void {
  const EPERM = 1;
  const limit = BigUint64Array.of(BigInt(value), BigInt(value));
  if (libc().setrlimit(resource, ptr(limit)) === 0) return;
  const errno = lastErrno();
  if (errno !== EPERM) throw systemError(errno, { operation: "set the limit", address: name });
}
