/**
 * A lock by name among the processes of a network namespace: a Unix socket bound in the abstract
 * namespace, unix(7). The kernel releases it at the end of the process, however that ends.
 */
import { VsockboxError } from "../errors.ts";
import { AF_UNIX, encodeUnixName } from "./sockaddr.ts";
import { bindSocket, closeDescriptor, openSocket } from "./socket.ts";

const SOCK_DGRAM = 2;

/**
 * Takes a lock.
 *
 * @returns undefined if a process holds it.
 * @throws {VsockboxError} IO, USAGE for a name that is too long.
 */
export function lockName(name: string): Disposable | undefined {
  const address = `@${name}`;
  const fd = openSocket(AF_UNIX, SOCK_DGRAM, address);
  try {
    bindSocket(fd, encodeUnixName(address), { operation: "lock", address });
  } catch (thrown) {
    closeDescriptor(fd);
    if (thrown instanceof VsockboxError && thrown.errno === "EADDRINUSE") return undefined;
    throw thrown;
  }
  return { [Symbol.dispose]: () => closeDescriptor(fd) };
}
