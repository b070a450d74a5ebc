/** Listening on any address: binds, decides by the peer's CID, hands out streams, cleans up. */
import { lstatSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { VsockboxError } from "../errors.ts";
import { resolveTrusted } from "../files/trusted-path.ts";
import { ERRNO } from "../ffi/errno.ts";
import {
  AF_UNIX,
  AF_VSOCK,
  encodeSockaddrUn,
  encodeSockaddrVm,
  encodeUnixName,
  isAbstract,
} from "../ffi/sockaddr.ts";
import {
  bindSocket,
  closeDescriptor,
  listenSocket,
  openSocket,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  startConnect,
} from "../ffi/socket.ts";
import { setVsockBufferSize, VSOCK_BUFFER_BYTES } from "../ffi/vsock.ts";
import { formatAddress, type SocketAddress } from "./address.ts";
import { isAllowed, type AllowedCids } from "./allow-cid.ts";
import { AcceptLoop } from "./accept-loop.ts";
import { boundTo, type Peer, peerOf } from "../io/peer.ts";
import { RefusedPool } from "./refused-pool.ts";
import { applyAccess, type SocketAccess } from "./socket-access.ts";
import { untrustedOwner } from "./socket-owner.ts";
import { adoptDescriptor, type Traffic } from "../io/adopt-descriptor.ts";
import type { SocketStream } from "../io/stream.ts";

/** Options of {@link listen}. */
export interface ListenOptions {
  /** Whose connections are accepted; a Unix socket's peers are decided by its file mode instead. */
  allowed: AllowedCids;
  /** Called for each accepted connection. */
  onConnection: (stream: SocketStream) => void;
  /**
   * Called for a connection of a peer that is not allowed, instead of `onConnection`. It may send why
   * before it closes; without it, and while many such peers are being answered, it is closed at once.
   */
  onRefused?: ((stream: SocketStream) => void) | undefined;
  /** Called for every peer that is not allowed, whether or not `onRefused` is. */
  onRefusal?: ((peer: Peer) => void) | undefined;
  /** Which of them `onRefused` is called for; one of this listener alone if it is not given. */
  refusedPool?: RefusedPool | undefined;
  /**
   * Called after each connection that was handed on: if it returns a promise, no further one is accepted
   * before that resolves, and peers wait in the backlog.
   */
  beforeNext?: (() => Promise<void> | undefined) | undefined;
  /** Called with the reason, once in a while, if nothing can be accepted for lack of descriptors. */
  onShortage?: ((reason: string, error: VsockboxError) => void) | undefined;
  seqpacket?: boolean | undefined;
  /** What the connections are for (default: messages). */
  traffic?: Traffic | undefined;
}

/** A bound address that accepts connections until it is closed. */
export interface Listener {
  /** The address, with the port that the kernel chose if none was given. */
  readonly address: SocketAddress;
  /** Stops accepting and removes the socket file. Accepted connections go on. */
  close(): void;
}

/**
 * Binds and listens. A Unix socket is made with mode 0600; a stale socket file is replaced, but
 * only one without a listener, and never a file of another kind. An abstract name accepts this user and
 * root alone.
 *
 * @throws {VsockboxError} CANNOT_CREATE (address in use), REFUSED (privileged port), UNAVAILABLE (no
 * vsock in this kernel), USAGE.
 */
export function listen(address: SocketAddress, options: ListenOptions): Listener {
  const { fd, address: bound, removeFile } = openListener(address, options.seqpacket);
  const loop = accept(fd, address, options);
  return {
    address: bound,
    close() {
      loop.close();
      removeFile();
    },
  };
}

/** A bound socket that listens, for callers that accept by themselves. */
export interface OpenListener {
  /** Non-blocking; the caller closes it. */
  readonly fd: number;
  /** The address, with the port that the kernel chose if none was given. */
  readonly address: SocketAddress;
  /** Removes the socket file, if there is one, after the descriptor is closed. */
  removeFile(): void;
}

/**
 * Binds and listens as {@link listen} does, without accepting.
 *
 * @throws {VsockboxError} as {@link listen}.
 */
export function openListener(address: SocketAddress, seqpacket?: boolean): OpenListener {
  if (address.kind === "vsock") return openVsock(address, seqpacket);
  const { fd, removeFile } =
    address.kind === "unix" && isAbstract(address.path)
      ? openAbstractListener(address, seqpacket)
      : openUnixListener(address, { seqpacket });
  return { fd, address, removeFile };
}

/**
 * Whether the peer of an accepted connection is allowed to connect to a listener of {@link openListener}.
 * A vsock peer that has closed already is not.
 */
export function isAdmitted(fd: number, address: SocketAddress, allowed: AllowedCids): boolean {
  if (isForeign(fd, address)) return false;
  const cid = peerCid(peerOf(fd));
  return (address.kind !== "vsock" || cid !== undefined) && isAllowed(allowed, cid);
}

/** Accepts connections on a listening socket of either family; the loop closes `fd`. */
function accept(fd: number, address: SocketAddress, options: ListenOptions): AcceptLoop {
  const pool = options.refusedPool ?? new RefusedPool();
  const { onShortage } = options;
  const loop = new AcceptLoop({
    fd,
    address: formatAddress(address),
    onShortage,
    onAccept: (accepted) => receive(accepted, address, options, pool, () => loop.isClosed),
  });
  return loop;
}

/** Hands a connection on, or refuses its peer. Never throws; resolves when it is handed on. */
function receive(
  fd: number,
  address: SocketAddress,
  options: ListenOptions,
  pool: RefusedPool,
  isClosed: () => boolean,
): Promise<void> | undefined {
  const { allowed, onRefusal, onRefused } = options;
  if (isForeign(fd, address)) {
    closeDescriptor(fd);
    return undefined;
  }
  const peer = peerOf(fd);
  const cid = peerCid(peer);
  // A vsock peer that is disconnected already has no CID any more: nothing is known about it.
  const isUnknown = address.kind === "vsock" && cid === undefined;
  const isRefused = isUnknown || !isAllowed(allowed, cid);
  if (isRefused && !isUnknown) onRefusal?.(peer);
  if (isRefused && (onRefused === undefined || isUnknown || !pool.hasCapacity(fd))) {
    closeDescriptor(fd);
    return undefined;
  }
  return handOn(fd, options, isRefused ? pool : undefined, isClosed);
}

/** Whether a connection to an abstract name is of another user, whom mode 0600 would keep out. */
function isForeign(fd: number, address: SocketAddress): boolean {
  return (
    address.kind === "unix" && isAbstract(address.path) && untrustedOwner(fd, []) !== undefined
  );
}

/** `pool`: of the refused peers, of which this is one. */
async function handOn(
  fd: number,
  { onConnection, onRefused, beforeNext, traffic }: ListenOptions,
  pool: RefusedPool | undefined,
  isClosed: () => boolean,
): Promise<void> {
  let stream: SocketStream;
  try {
    stream = await adoptDescriptor(fd, traffic);
  } catch {
    // It is disconnected, and its descriptor closed, already.
    return;
  }
  if (isClosed()) return stream.abort();
  if (pool === undefined) {
    onConnection(stream);
    return beforeNext?.();
  }
  pool.add(stream);
  onRefused?.(stream);
}

function openBound(
  address: SocketAddress,
  family: number,
  sockaddr: Uint8Array,
  { seqpacket = false, onBound }: { seqpacket?: boolean | undefined; onBound?: () => void },
): number {
  const shown = formatAddress(address);
  const fd = openSocket(family, seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, shown);
  try {
    if (family === AF_VSOCK) setVsockBufferSize(fd, VSOCK_BUFFER_BYTES);
    bindSocket(fd, sockaddr, {
      operation: "listen on",
      address: shown,
      code: "CANNOT_CREATE",
      hint: bindHint(address),
    });
    onBound?.();
    listenSocket(fd, { operation: "listen on", address: shown, code: "CANNOT_CREATE" });
    return fd;
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
}

function bindHint(address: SocketAddress): string {
  if (address.kind !== "vsock") {
    if (isAbstract(address.path)) return "another process listens on that abstract name";
    return "the directory must exist and be writable, and the path must be free";
  }
  if (address.port !== undefined && address.port < 1024) {
    return "ports below 1024 need CAP_NET_BIND_SERVICE: run as root or choose a higher port";
  }
  return "another program may listen there already (`ss --vsock -l`), or the CID is not this machine's: vsock::PORT listens on all of them";
}

/**
 * Binds an AF_VSOCK socket and listens.
 *
 * @throws {VsockboxError} CANNOT_CREATE, REFUSED (privileged port), UNAVAILABLE (no vsock in this
 * kernel), USAGE (no port).
 */
export function openVsockListener(
  address: SocketAddress & { kind: "vsock" },
  seqpacket?: boolean,
): number {
  const port = requireListenPort(address);
  const sockaddr = encodeSockaddrVm({ cid: address.cid, port });
  return openBound(address, AF_VSOCK, sockaddr, { seqpacket });
}

function openVsock(
  address: SocketAddress & { kind: "vsock" },
  seqpacket: boolean | undefined,
): OpenListener {
  const port = requireListenPort(address);
  const fd = openVsockListener(address, seqpacket);
  const bound = boundTo(fd);
  return {
    fd,
    address: { ...address, port: bound.kind === "vsock" ? bound.port : port },
    removeFile: () => undefined,
  };
}

function requireListenPort(address: SocketAddress & { kind: "vsock" | "hybrid" }): number {
  if (address.port !== undefined) return address.port;
  throw new VsockboxError({
    code: "USAGE",
    step: "bind",
    operation: "listen on",
    address: formatAddress(address),
    message: "the port is missing",
    hint: `write it after the address, as in ${formatAddress(address)}:5000; \`any\` lets the kernel choose`,
  });
}

/** The path to which a hybrid VMM connects for a port of the host: `<uds-path>_<port>`. */
function hybridListenPath(address: SocketAddress & { kind: "hybrid" }): string {
  return `${address.path}_${requireListenPort(address)}`;
}

/** An abstract name has no file and thus no mode: {@link receive} decides by the peer's user. */
function openAbstractListener(
  address: SocketAddress & { kind: "unix" },
  seqpacket: boolean | undefined,
): UnixListener {
  const fd = openBound(address, AF_UNIX, encodeUnixName(address.path), { seqpacket });
  return unixListener(fd, address.path, undefined);
}

/** A Unix socket that listens. */
export interface UnixListener {
  readonly fd: number;
  readonly path: string;
  /** Device and inode of the socket file when it was made; undefined if it was removed at once. */
  readonly inode: string | undefined;
  /**
   * Removes the socket file, after the listener is closed.
   *
   * @throws {Error} with a code, if the directory's permissions refuse it.
   */
  removeFile(): void;
}

/** Options of {@link openUnixListener}. */
export interface UnixListenerOptions {
  seqpacket?: boolean | undefined;
  /** Who may connect, if not this user alone. */
  access?: SocketAccess | undefined;
}

/**
 * Binds a Unix socket and listens, with mode 0600 or that of `access`. A stale socket file is
 * replaced, but only one without a listener, and never a file of another kind.
 *
 * @throws {VsockboxError} CANNOT_CREATE; REFUSED if the socket cannot be given to that owner, or if
 * the path leads through a link of another user.
 */
export function openUnixListener(
  address: SocketAddress & { kind: "unix" | "hybrid" },
  { seqpacket, access }: UnixListenerOptions = {},
): UnixListener {
  const path = address.kind === "hybrid" ? hybridListenPath(address) : address.path;
  const sockaddr = encodeSockaddrUn(path);
  // bind(2) itself follows no link at the end of the path, but those before it.
  resolveTrusted(dirname(path), { operation: "listen on" });
  removeStaleSocket(path, sockaddr);
  const mask = process.umask(0o177);
  try {
    // Before listen(2), which is when the first one can connect.
    const onBound = () => applyAccess(path, access ?? {});
    const fd = openBound(address, AF_UNIX, sockaddr, { seqpacket, onBound });
    return unixListener(fd, path, inodeOf(path));
  } finally {
    process.umask(mask);
  }
}

/** Makes a listener from the fields of another one, as after execve(2). */
export function unixListener(fd: number, path: string, inode: string | undefined): UnixListener {
  return {
    fd,
    path,
    inode,
    removeFile() {
      // Another process may have bound another socket there in the meantime.
      if (inode !== undefined && inodeOf(path) === inode) unlinkSync(path);
    },
  };
}

/** Returns device and inode of the file at a path; undefined if there is none. */
export function inodeOf(path: string): string | undefined {
  const status = lstatSync(path, { throwIfNoEntry: false });
  return status === undefined ? undefined : `${status.dev}:${status.ino}`;
}

/**
 * Removes a socket file without a listener; one with a listener stays.
 *
 * @throws {VsockboxError} CANNOT_CREATE for a file of another kind.
 */
export function removeStaleSocket(path: string, sockaddr: Uint8Array): void {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) {
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      step: "bind",
      operation: "listen on",
      address: path,
      message: "the path exists and is not a socket",
      errno: "EEXIST",
      hint: "choose another path; vsockbox never removes a file that is not a socket",
    });
  }
  if (isRefusedBy(path, sockaddr)) unlinkSync(path);
}

/**
 * Whether a Unix socket refuses connections: it has no listener, in any network namespace. If there is
 * one, it gets a connection that is closed at once.
 */
export function isRefusedBy(path: string, sockaddr: Uint8Array): boolean {
  const probe = openSocket(AF_UNIX, SOCK_STREAM, path);
  try {
    return startConnect(probe, sockaddr) === ERRNO.ECONNREFUSED;
  } finally {
    closeDescriptor(probe);
  }
}

/** The CID of a vsock peer, for logs; undefined for other peers. */
function peerCid(peer: Peer): number | undefined {
  return peer.kind === "vsock" ? peer.cid : undefined;
}
