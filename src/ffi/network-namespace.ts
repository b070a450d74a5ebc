/** Entering a network namespace: setns(2), network_namespaces(7). */
import { type SystemCall, systemError } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";
import { closeDescriptor, openForReading } from "./socket.ts";

/** linux/sched.h. */
const CLONE_NEWNET = 0x4000_0000;

/**
 * Makes this thread open its sockets in another network namespace from now on.
 *
 * @param path such as /proc/PID/ns/net or /run/netns/NAME.
 * @throws {VsockboxError} UNAVAILABLE if the file does not exist, REFUSED without CAP_SYS_ADMIN, IO (EINVAL)
 * if it is not a network namespace.
 */
export function enterNetworkNamespace(path: string): void {
  const call: SystemCall = { operation: "use network namespace", address: path };
  const fd = openForReading(path, call);
  try {
    if (libc().setns(fd, CLONE_NEWNET) < 0) throw systemError(lastErrno(), call);
  } finally {
    closeDescriptor(fd);
  }
}
