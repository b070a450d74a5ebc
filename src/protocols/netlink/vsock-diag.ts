/**
 * The kernel's list of AF_VSOCK sockets: SOCK_DIAG_BY_FAMILY of sock_diag(7) with the family AF_VSOCK,
 * which the module vsock_diag answers (Linux 4.15; linux/vm_sockets_diag.h). The request is a dump; its
 * answer has a message for each socket of the network namespace, with its addresses, state and inode.
 */
import { VsockboxError } from "../../errors.ts";

/** The type of the request and of its answers, linux/sock_diag.h. */
export const SOCK_DIAG_BY_FAMILY = 20;

/** AF_VSOCK, bits/socket.h. */
const FAMILY = 40;
/** sizeof(struct vsock_diag_req). */
const REQUEST_BYTES = 24;
/** sizeof(struct vsock_diag_msg). */
const ENTRY_BYTES = 32;
/** A bit for each state; all of them. */
const ALL_STATES = 0xffff_ffff;
/** VMADDR_CID_ANY and VMADDR_PORT_ANY, linux/vm_sockets.h. */
const ANY = 0xffff_ffff;

/** Bits of vdiag_shutdown: the kernel's RCV_SHUTDOWN and SEND_SHUTDOWN. */
const SHUTDOWN_RECEIVE = 1;
const SHUTDOWN_SEND = 2;

/** Names of socket types, bits/socket_type.h. */
const TYPES: Readonly<Record<number, string>> = { 1: "stream", 2: "dgram", 5: "seqpacket" };

/** All states of AF_VSOCK sockets, as ss(8) filters by them. */
export const VSOCK_STATES = ["established", "syn-sent", "closed", "listening", "closing"] as const;

/** Numbers of the kernel's net/tcp_states.h. */
const STATES: Readonly<Record<number, (typeof VSOCK_STATES)[number]>> = {
  1: "established",
  2: "syn-sent",
  7: "closed",
  10: "listening",
  11: "closing",
};

/** A CID and a port; undefined for any, which a socket has that is not bound or not connected. */
export interface VsockEnd {
  cid: number | undefined;
  port: number | undefined;
}

/** One socket. */
export interface VsockSocket {
  /** `stream`, `seqpacket`, `dgram`, or `type N`. */
  type: string;
  /** One of {@link VSOCK_STATES}, or `state N`. */
  state: string;
  local: VsockEnd;
  peer: VsockEnd;
  /** Whether this end has shut down receiving; the kernel does not report what the peer has shut down. */
  isReceiveShutdown: boolean;
  /** Whether this end has shut down sending. */
  isSendShutdown: boolean;
  /** The socket's inode; `/proc/PID/fd` has it as `socket:[INODE]`. */
  inode: number;
}

/** Returns the request for all sockets of the network namespace, as a dump's payload. */
export function encodeVsockDiagRequest(): Uint8Array {
  const view = new DataView(new ArrayBuffer(REQUEST_BYTES));
  view.setUint8(0, FAMILY);
  view.setUint32(4, ALL_STATES, true);
  return new Uint8Array(view.buffer);
}

/**
 * Reads the payload of an answer. Bytes after the known fields are ignored.
 *
 * @throws {VsockboxError} BAD_DATA if it is too short, or of another family.
 */
export function decodeVsockSocket(payload: Uint8Array): VsockSocket {
  if (payload.length < ENTRY_BYTES || payload[0] !== FAMILY) {
    throw new VsockboxError({
      code: "BAD_DATA",
      operation: "read entry of vsock_diag",
      message: `${payload.length} bytes of the family ${payload[0] ?? "?"}`,
    });
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const [type, state, shutdown] = [view.getUint8(1), view.getUint8(2), view.getUint8(3)];
  const numberAt = (offset: number) => {
    const value = view.getUint32(offset, true);
    return value === ANY ? undefined : value;
  };
  return {
    type: TYPES[type] ?? `type ${type}`,
    state: STATES[state] ?? `state ${state}`,
    local: { cid: numberAt(4), port: numberAt(8) },
    peer: { cid: numberAt(12), port: numberAt(16) },
    isReceiveShutdown: (shutdown & SHUTDOWN_RECEIVE) !== 0,
    isSendShutdown: (shutdown & SHUTDOWN_SEND) !== 0,
    inode: view.getUint32(20, true),
  };
}
