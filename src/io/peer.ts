/** The peer of a connected descriptor. */
import {
  AF_UNIX,
  AF_VSOCK,
  decodeSockaddrUn,
  decodeSockaddrVm,
  SOCKADDR_VM_BYTES,
} from "../ffi/sockaddr.ts";
import { localSockaddr, peerSockaddr } from "../ffi/socket.ts";

/** The address of a peer, as the kernel reports it. */
export type Peer =
  | { kind: "vsock"; cid: number; port: number }
  | { kind: "unix"; path: string }
  | { kind: "unknown" };

/** Returns the peer of a connected socket. */
export function peerOf(fd: number): Peer {
  return decode(peerSockaddr(fd));
}

/** Returns the address that a socket is bound to. */
export function boundTo(fd: number): Peer {
  return decode(localSockaddr(fd));
}

function decode(bytes: Uint8Array | undefined): Peer {
  if (bytes === undefined || bytes.length < 2) return { kind: "unknown" };
  const family = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0, true);
  if (family === AF_VSOCK && bytes.length >= SOCKADDR_VM_BYTES) {
    const { cid, port } = decodeSockaddrVm(bytes);
    return { kind: "vsock", cid, port };
  }
  return family === AF_UNIX ? { kind: "unix", path: decodeSockaddrUn(bytes) } : { kind: "unknown" };
}

/** Returns a peer as text without its port, which differs for each connection. */
export function formatPeerHost(peer: Peer): string {
  return peer.kind === "vsock" ? `vsock:${peer.cid}` : formatPeer(peer);
}

/** Returns a peer as text for logs and errors. */
export function formatPeer(peer: Peer): string {
  if (peer.kind === "vsock") return `vsock:${peer.cid}:${peer.port}`;
  if (peer.kind === "unix") return peer.path === "" ? "unix" : `unix:${peer.path}`;
  return "unknown";
}
