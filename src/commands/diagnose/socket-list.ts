/** AF_VSOCK sockets as `vsockbox sockets` selects, orders and prints them. */
import type { SocketProcess } from "../../process/socket-processes.ts";
import type { VsockEnd, VsockSocket } from "../../protocols/netlink/vsock-diag.ts";
import { table } from "../../text/table.ts";

/** A socket with the processes that have it open. */
export interface ListedSocket extends VsockSocket {
  /** The user who made it; undefined if no process that has it open is visible. */
  uid: number | undefined;
  processes: readonly SocketProcess[];
}

/** Which sockets are selected; an undefined field selects all. */
export interface SocketFilter {
  states: readonly string[];
  /** Of either end. */
  cid: number | undefined;
  /** Of either end. */
  port: number | undefined;
}

/** Whether a socket matches all of a filter. */
export function matchesFilter(
  { state, local, peer }: VsockSocket,
  { states, cid, port }: SocketFilter,
): boolean {
  return (
    (states.length === 0 || states.includes(state)) &&
    (cid === undefined || local.cid === cid || peer.cid === cid) &&
    (port === undefined || local.port === port || peer.port === port)
  );
}

const compareNumbers = (one: number | undefined, other: number | undefined) =>
  (one ?? Infinity) === (other ?? Infinity) ? 0 : (one ?? Infinity) - (other ?? Infinity);

/** Orders listening sockets first, then by local port, local CID, peer and inode. */
export function compareSockets(one: VsockSocket, other: VsockSocket): number {
  const isListening = ({ state }: VsockSocket) => Number(state === "listening");
  return (
    isListening(other) - isListening(one) ||
    compareNumbers(one.local.port, other.local.port) ||
    compareNumbers(one.local.cid, other.local.cid) ||
    compareNumbers(one.peer.cid, other.peer.cid) ||
    compareNumbers(one.peer.port, other.peer.port) ||
    one.inode - other.inode
  );
}

const formatEnd = ({ cid, port }: VsockEnd) => `${cid ?? "*"}:${port ?? "*"}`;

/** What of a connection is shut down, in words; empty if nothing is. */
function formatShutdown({ isReceiveShutdown, isSendShutdown }: VsockSocket): string {
  if (isReceiveShutdown && isSendShutdown) return " (shut down)";
  if (isReceiveShutdown) return " (receive shut down)";
  return isSendShutdown ? " (send shut down)" : "";
}

const formatProcess = ({ pid, name, fd }: SocketProcess) => `${name} (pid ${pid}, fd ${fd})`;

/**
 * Returns the lines of a table.
 *
 * @param userName returns a user's name, or undefined for a number without one.
 */
export function socketLines(
  sockets: readonly ListedSocket[],
  userName: (uid: number) => string | undefined,
): string[] {
  const rows = sockets.map((socket) => {
    const { type, state, local, peer, uid, processes } = socket;
    return [
      type,
      state + formatShutdown(socket),
      formatEnd(local),
      formatEnd(peer),
      uid === undefined ? "-" : (userName(uid) ?? String(uid)),
      processes.length === 0 ? "-" : processes.map(formatProcess).join(", "),
    ];
  });
  return table(["TYPE", "STATE", "LOCAL", "PEER", "USER", "PROCESS"], rows);
}

/** Returns a socket as JSON. */
export function socketJson(socket: ListedSocket): Record<string, unknown> {
  const { type, state, local, peer, inode, uid, processes } = socket;
  return {
    type,
    state,
    local_cid: local.cid ?? null,
    local_port: local.port ?? null,
    peer_cid: peer.cid ?? null,
    peer_port: peer.port ?? null,
    receive_shutdown: socket.isReceiveShutdown,
    send_shutdown: socket.isSendShutdown,
    inode,
    uid: uid ?? null,
    processes,
  };
}
