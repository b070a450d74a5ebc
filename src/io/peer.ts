/** The peer of a connected descriptor. */
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_VSOCK,
  decodeSockaddrIn,
  decodeSockaddrIn6,
  decodeSockaddrUn,
  decodeSockaddrVm,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_BYTES,
  SOCKADDR_VM_BYTES,
} from "../ffi/sockaddr.ts";
import { localSockaddr, peerSockaddr } from "../ffi/socket.ts";
import { formatHostPort } from "../text/endpoint.ts";

/** The address of a peer, as the kernel reports it. */
export type Peer =
  | { kind: "vsock"; cid: number; port: number }
  | { kind: "unix"; path: string }
  | { kind: "tcp"; host: string; port: number }
  | { kind: "unknown" };

/** Returns the peer of a connected socket. */
export function peerOf(fd: number): Peer {
  return decodePeer(peerSockaddr(fd));
}

/** Returns the address that a socket is bound to. */
export function boundTo(fd: number): Peer {
  return decodePeer(localSockaddr(fd));
}

/** Reads what getpeername(2) wrote; undefined stands for an error of it. */
export function decodePeer(bytes: Uint8Array | undefined): Peer {
  if (bytes === undefined || bytes.length < 2) return { kind: "unknown" };
  const family = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0, true);
  if (family === AF_VSOCK && bytes.length >= SOCKADDR_VM_BYTES) {
    const { cid, port } = decodeSockaddrVm(bytes);
    return { kind: "vsock", cid, port };
  }
  if (family === AF_INET && bytes.length >= SOCKADDR_IN_BYTES) {
    return { kind: "tcp", ...decodeSockaddrIn(bytes) };
  }
  if (family === AF_INET6 && bytes.length >= SOCKADDR_IN6_BYTES) {
    return { kind: "tcp", ...decodeSockaddrIn6(bytes) };
  }
  return family === AF_UNIX ? { kind: "unix", path: decodeSockaddrUn(bytes) } : { kind: "unknown" };
}

/** Returns a peer as text without its port, which differs for each connection. */
export function formatPeerHost(peer: Peer): string {
  if (peer.kind === "tcp") return peer.host;
  return peer.kind === "vsock" ? `vsock:${peer.cid}` : formatPeer(peer);
}

/** Returns a peer as text for logs and errors. */
export function formatPeer(peer: Peer): string {
  if (peer.kind === "vsock") return `vsock:${peer.cid}:${peer.port}`;
  if (peer.kind === "unix") return peer.path === "" ? "unix" : `unix:${peer.path}`;
  return peer.kind === "tcp" ? formatHostPort(peer.host, peer.port) : "unknown";
}
