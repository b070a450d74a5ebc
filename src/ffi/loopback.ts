/** Enables the loopback interface, for an init: netdevice(7). */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { closeDescriptor, openSocket } from "./socket.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

/** sizeof(struct ifreq) on 64-bit architectures: 16 bytes of name, then the flags. */
const IFREQ_BYTES = 40;
const IFR_FLAGS_OFFSET = 16;
const INTERFACE = "lo";

/**
 * Makes 127.0.0.1 and ::1 reachable. Does nothing if they are already.
 *
 * @throws {VsockboxError} UNAVAILABLE if the kernel has no IPv4 or no such interface, REFUSED if
 * this process may not do it.
 */
export function bringUpLoopback(): void {
  const request = new Uint8Array(IFREQ_BYTES);
  new TextEncoder().encodeInto(INTERFACE, request);
  const view = new DataView(request.buffer);
  const fd = openSocket(AF_INET, SOCK_DGRAM, INTERFACE);
  const control = (code: number) => {
    if (libc().ioctl(fd, code, ptr(request)) >= 0) return;
    throw systemError(lastErrno(), { operation: "bring up interface", address: INTERFACE });
  };
  try {
    control(SIOCGIFFLAGS);
    const flags = view.getUint16(IFR_FLAGS_OFFSET, true);
    if ((flags & IFF_UP) !== 0) return;
    view.setUint16(IFR_FLAGS_OFFSET, flags | IFF_UP, true);
    control(SIOCSIFFLAGS);
  } finally {
    closeDescriptor(fd);
  }
}
