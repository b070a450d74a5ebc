/**
 * Socket system calls with their errors typed. Descriptors are plain numbers here; the code that opens
 * one closes it.
 */
import { VsockboxError } from "../errors.ts";
import { ERRNO, systemError, type SystemCall } from "./errno.ts";
import { cString, lastErrno, libc, ptr } from "./libc.ts";
import { AF_UNIX, AF_VSOCK, SOCKADDR_UN_BYTES } from "./sockaddr.ts";

/** Socket types, bits/socket_type.h. */
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
/** Every socket of ours is non-blocking and not inherited by children. */
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUF = 7;

/** shutdown(2): no more reading on this side. */
const SHUT_RD = 0;
/** shutdown(2): no more sending from this side. */
const SHUT_WR = 1;

/** poll(2) events. */
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
/** The peer has ended its output. Linux. */
export const POLLRDHUP = 0x2000;

/** If this variable is set, vsockbox does not use AF_VSOCK: only unix: and hybrid: work. */
const NO_VSOCK_VARIABLE = "VSOCKBOX_NO_VSOCK";

/** listen(2) backlog: bounded, so that a flood of connections is refused rather than queued. */
const LISTEN_BACKLOG = 1024;

function check(result: number, call: SystemCall): number {
  if (result >= 0) return result;
  throw systemError(lastErrno(), call);
}

/** Throws if {@link NO_VSOCK_VARIABLE} is set. Called before any use of AF_VSOCK. */
export function assertVsockAllowed({ operation, address, step }: SystemCall): void {
  const value = process.env[NO_VSOCK_VARIABLE];
  if (value === undefined || value === "" || value === "0") return;
  throw new VsockboxError({
    code: "REFUSED",
    step,
    operation,
    address,
    message: `AF_VSOCK is switched off by ${NO_VSOCK_VARIABLE}=${value}`,
    hint: `unset ${NO_VSOCK_VARIABLE}, or use a unix: or hybrid: address`,
  });
}

/**
 * socket(2), non-blocking and close-on-exec.
 *
 * @param protocol 0: the family's only or usual one.
 * @throws {VsockboxError} UNAVAILABLE (EAFNOSUPPORT) if the kernel has no vsock.
 */
export function openSocket(family: number, type: number, address: string, protocol = 0): number {
  const call: SystemCall = { step: "create_socket", operation: "open a socket for", address };
  if (family === AF_VSOCK) assertVsockAllowed(call);
  return check(libc().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), {
    ...call,
    hint:
      family === AF_VSOCK
        ? "the kernel has no vsock: load it with `modprobe vsock` (guest: vmw_vsock_virtio_transport, this machine alone: vsock_loopback)"
        : undefined,
  });
}

/** close(2). Errors are ignored. */
export function closeDescriptor(fd: number): void {
  libc().close(fd);
}

/** bind(2). */
export function bindSocket(fd: number, sockaddr: Uint8Array, call: SystemCall): void {
  check(libc().bind(fd, ptr(sockaddr), sockaddr.length), { step: "bind", ...call });
}

/** listen(2). */
export function listenSocket(fd: number, call: SystemCall): void {
  check(libc().listen(fd, LISTEN_BACKLOG), { step: "listen", ...call });
}

/**
 * accept4(2), non-blocking and close-on-exec.
 *
 * @returns the connection's descriptor, or undefined if none is pending.
 */
export function acceptSocket(fd: number, call: SystemCall): number | undefined {
  for (;;) {
    const accepted = libc().accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) return accepted;
    const errno = lastErrno();
    if (errno === ERRNO.EAGAIN) return undefined;
    if (errno !== ERRNO.EINTR && errno !== ERRNO.ECONNABORTED) {
      throw systemError(errno, { step: "accept", ...call });
    }
  }
}

/**
 * connect(2) on a non-blocking socket.
 *
 * @returns 0 when connected, else the errno: EINPROGRESS means wait for {@link POLLOUT}.
 */
export function startConnect(fd: number, sockaddr: Uint8Array): number {
  for (;;) {
    if (libc().connect(fd, ptr(sockaddr), sockaddr.length) === 0) return 0;
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) return errno;
  }
}

/**
 * poll(2) on one descriptor.
 *
 * @param timeoutMs how long this thread may block, in milliseconds; 0 looks and returns.
 * @returns the events that are true now; 0 when none is.
 */
export function pollDescriptor(fd: number, events: number, timeoutMs: number): number {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  const ready = libc().poll(ptr(pollfd), 1, timeoutMs);
  return ready > 0 ? pollfd.getInt16(6, true) : 0;
}

/** SO_ERROR: how a non-blocking connect ended, as an errno; 0 is success. Reading it clears it. */
export function socketError(fd: number): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  const result = libc().getsockopt(fd, SOL_SOCKET, SO_ERROR, ptr(value), ptr(length));
  return result < 0 ? lastErrno() : (value[0] ?? 0);
}

/** ioctl_tty(2), tcp(7), unix(7): SIOCOUTQ. */
const TIOCOUTQ = 0x5411n;

/**
 * Returns the number of sent bytes that the peer's kernel (TCP) or the peer (Unix sockets) has not
 * received yet; 0 for a socket that does not count them.
 */
export function unsentBytes(fd: number): number {
  const count = new Int32Array(1);
  return libc().ioctl(fd, TIOCOUTQ, ptr(count)) < 0 ? 0 : (count[0] ?? 0);
}

/** send(2): EPIPE as a return value, not as a signal. */
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;

/**
 * Whether the peer has closed, found by sending no bytes: the kernel returns EPIPE or ENOTCONN then. On
 * AF_VSOCK no poll event distinguishes that from a half-close.
 */
export function isPeerClosed(fd: number): boolean {
  // An empty packet of a Unix socket would arrive, as the end of input.
  if (socketType(fd) === SOCK_SEQPACKET && socketFamily(fd) === AF_UNIX) {
    return (pollDescriptor(fd, 0, 0) & (POLLHUP | POLLERR)) !== 0;
  }
  const nothing = new Uint8Array(1);
  return Number(libc().send(fd, ptr(nothing), 0, MSG_NOSIGNAL)) < 0 && lastErrno() !== ERRNO.EAGAIN;
}

/** shutdown(2) of the sending side. */
export function shutdownWrite(fd: number): void {
  libc().shutdown(fd, SHUT_WR);
}

/** shutdown(2) of the receiving side: the peer's writes fail with EPIPE from now on. */
export function shutdownRead(fd: number): void {
  libc().shutdown(fd, SHUT_RD);
}

/** Returns the raw sockaddr of the peer, or undefined if the socket has none any longer. */
export function peerSockaddr(fd: number): Uint8Array | undefined {
  return sockaddrOf(fd, "getpeername");
}

/** Raw sockaddr of this end. */
export function localSockaddr(fd: number): Uint8Array | undefined {
  return sockaddrOf(fd, "getsockname");
}

function sockaddrOf(fd: number, call: "getpeername" | "getsockname"): Uint8Array | undefined {
  const bytes = new Uint8Array(SOCKADDR_UN_BYTES);
  const length = new Uint32Array([bytes.length]);
  if (libc()[call](fd, ptr(bytes), ptr(length)) < 0) return undefined;
  return bytes.subarray(0, Math.min(length[0] ?? 0, bytes.length));
}

/**
 * setsockopt(2).
 *
 * @returns 0, or the errno: what to do about a refused option is the caller's business.
 */
export function setOption(fd: number, level: number, option: number, value: Uint8Array): number {
  return libc().setsockopt(fd, level, option, ptr(value), value.length) < 0 ? lastErrno() : 0;
}

/** getsockopt(2) of a value of `bytes` bytes. */
export function getOption(
  fd: number,
  level: number,
  option: number,
  bytes: number,
  call: SystemCall,
): Uint8Array {
  const value = new Uint8Array(bytes);
  const length = new Uint32Array([bytes]);
  check(libc().getsockopt(fd, level, option, ptr(value), ptr(length)), call);
  return value;
}

/**
 * read(2) into `buffer` without waiting.
 *
 * @returns the count of bytes, 0 at end of input, or the errno as a negative number.
 */
export function readDescriptor(fd: number, buffer: Uint8Array): number {
  const count = Number(libc().read(fd, ptr(buffer), buffer.length));
  return count < 0 ? -lastErrno() : count;
}

/**
 * write(2) from `buffer` without waiting.
 *
 * @returns the number of bytes written, or the errno as a negative number.
 */
export function writeDescriptor(fd: number, buffer: Uint8Array): number {
  const count = Number(libc().write(fd, ptr(buffer), buffer.length));
  return count < 0 ? -lastErrno() : count;
}

/**
 * send(2) without waiting and without SIGPIPE.
 *
 * @returns the number of accepted bytes, or the errno as a negative number.
 */
export function sendBytes(fd: number, buffer: Uint8Array): number {
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const count = Number(libc().send(fd, ptr(buffer), buffer.length, flags));
  return count < 0 ? -lastErrno() : count;
}

const SO_TYPE = 3;
const SO_LINGER = 13;
const SO_DOMAIN = 39;

/** Returns the type of a socket, such as {@link SOCK_STREAM}; -1 for another descriptor. */
export function socketType(fd: number): number {
  return integerOption(fd, SO_TYPE);
}

/** Returns the family of a socket, such as AF_UNIX; -1 for another descriptor. */
export function socketFamily(fd: number): number {
  return integerOption(fd, SO_DOMAIN);
}

function integerOption(fd: number, option: number): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  const result = libc().getsockopt(fd, SOL_SOCKET, option, ptr(value), ptr(length));
  return result < 0 ? -1 : (value[0] ?? -1);
}

/** SO_LINGER with a time of zero: close(2) resets a TCP connection. */
export function resetOnClose(fd: number): void {
  setOption(fd, SOL_SOCKET, SO_LINGER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
}

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_DUPFD_CLOEXEC = 1030;
const F_GETFL = 3;
const F_SETFL = 4;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;

/** open(2) for reading, close-on-exec. */
export function openForReading(path: string, call: SystemCall): number {
  return check(libc().open(ptr(cString(path)), O_CLOEXEC, 0), call);
}

/** A pipe(2), close-on-exec at both ends. */
export interface Pipe {
  read: number;
  write: number;
}

/** Requested capacity of a pipe, in bytes; the kernel's 64 KiB costs bulk output twice the wake-ups. */
export const PIPE_BYTES = 256 * 1024;

/** pipe2(2) with O_CLOEXEC. Both ends block; see {@link setNonBlocking}. */
export function openPipe(): Pipe {
  const ends = new Int32Array(2);
  check(libc().pipe2(ptr(ends), O_CLOEXEC), { operation: "open pipe", code: "IO" });
  const [read = -1, write = -1] = ends;
  // Refused beyond the user's quota (pipe(7)): then the pipe keeps its default size.
  libc().fcntl(write, F_SETPIPE_SZ, PIPE_BYTES);
  return { read, write };
}

/** Enlarges a pipe to {@link PIPE_BYTES} if it is smaller; nothing happens to another descriptor. */
export function enlargePipe(fd: number): void {
  const size = libc().fcntl(fd, F_GETPIPE_SZ, 0);
  if (size > 0 && size < PIPE_BYTES) libc().fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
}

/** Sets O_NONBLOCK on the open file description of `fd`. */
export function setNonBlocking(fd: number): void {
  const flags = check(libc().fcntl(fd, F_GETFL, 0), {
    operation: "read the flags of a descriptor",
  });
  check(libc().fcntl(fd, F_SETFL, flags | O_NONBLOCK), {
    operation: "set the flags of a descriptor",
  });
}

/**
 * Sets O_NONBLOCK on a new pipe or terminal, which has no other flag that could get lost: saves the call
 * that reads them.
 */
export function setNewNonBlocking(fd: number): void {
  check(libc().fcntl(fd, F_SETFL, O_NONBLOCK), { operation: "set the flags of a descriptor" });
}

/** Another descriptor for the same open file, close-on-exec. */
export function duplicateDescriptor(fd: number): number {
  return check(libc().fcntl(fd, F_DUPFD_CLOEXEC, 0), { operation: "copy a descriptor" });
}

/**
 * SO_SNDBUF: the limit of a Unix socket's output that the peer has not read, in bytes;
 * the kernel doubles it for its own overhead. AF_VSOCK goes by the peer's credit instead.
 */
export function setSendBuffer(fd: number, bytes: number): void {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, bytes, true);
  setOption(fd, SOL_SOCKET, SO_SNDBUF, value);
}
