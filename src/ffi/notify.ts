/** One datagram to a Unix socket: unix(7), also in the abstract namespace. */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { AF_UNIX, encodeUnixName } from "./sockaddr.ts";
import { closeDescriptor, openSocket } from "./socket.ts";

const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;

/**
 * Sends `content` as one datagram, without waiting.
 *
 * @param address a path, or `@name` for a socket in the abstract namespace.
 * @throws {VsockboxError} UNAVAILABLE if no process receives there.
 */
export function sendDatagram(address: string, content: Uint8Array): void {
  const sockaddr = encodeUnixName(address);
  const fd = openSocket(AF_UNIX, SOCK_DGRAM, address);
  try {
    const sent = libc().sendto(
      fd,
      ptr(content),
      BigInt(content.length),
      MSG_NOSIGNAL,
      ptr(sockaddr),
      sockaddr.length,
    );
    if (Number(sent) < 0) throw systemError(lastErrno(), { operation: "send to", address });
  } finally {
    closeDescriptor(fd);
  }
}
