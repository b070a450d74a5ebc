/** The AF_VSOCK sockets of this network namespace, from the kernel. */
import { VsockboxError } from "../errors.ts";
import type { Operation } from "../operations.ts";
import { NetlinkProtocol, NetlinkSocket } from "../ffi/netlink.ts";
import { assertVsockAllowed } from "../ffi/socket.ts";
import {
  decodeVsockSocket,
  encodeVsockDiagRequest,
  SOCK_DIAG_BY_FAMILY,
  type VsockSocket,
} from "../protocols/netlink/vsock-diag.ts";
import { NetlinkFlag } from "../protocols/netlink/message.ts";
import { netlinkRequest } from "./netlink-request.ts";

const OPERATION: Operation = "list vsock sockets";

/**
 * Returns all AF_VSOCK sockets, in the kernel's order.
 *
 * @throws {VsockboxError} UNAVAILABLE (ENOENT) if the kernel has no module vsock_diag; REFUSED if AF_VSOCK
 * is switched off.
 */
export function vsockSockets(): VsockSocket[] {
  assertVsockAllowed({ operation: OPERATION });
  using socket = new NetlinkSocket(NetlinkProtocol.SockDiag, "netlink sock_diag");
  try {
    const entries = netlinkRequest(socket, {
      type: SOCK_DIAG_BY_FAMILY,
      flags: NetlinkFlag.Dump,
      payload: encodeVsockDiagRequest(),
      operation: OPERATION,
    });
    return entries
      .filter(({ type }) => type === SOCK_DIAG_BY_FAMILY)
      .map(({ payload }) => decodeVsockSocket(payload));
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError) || thrown.errno !== "ENOENT") throw thrown;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: OPERATION,
      message: "the kernel's module vsock_diag is not loaded",
      errno: "ENOENT",
      hint: "load it with `modprobe vsock_diag`, as root",
    });
  }
}
