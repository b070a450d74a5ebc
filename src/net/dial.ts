/** Connects to any address, with a deadline, an AbortSignal, and errors with hints. */
import { VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "../ffi/errno.ts";
import {
  AF_UNIX,
  AF_VSOCK,
  encodeUnixName,
  encodeSockaddrVm,
  isAbstract,
  VMADDR_FLAG_TO_HOST,
} from "../ffi/sockaddr.ts";
import {
  closeDescriptor,
  openSocket,
  pollDescriptor,
  POLLIN,
  POLLOUT,
  readDescriptor,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  socketError,
  startConnect,
  writeDescriptor,
} from "../ffi/socket.ts";
import { setVsockBufferSize, setVsockConnectTimeout, VSOCK_BUFFER_BYTES } from "../ffi/vsock.ts";
import { encodeConnect, HandshakeReader } from "../protocols/hybrid/handshake.ts";
import { RECOGNISED_BYTES, recogniseService } from "../protocols/recognise-service.ts";
import { ANY, formatAddress, type SocketAddress } from "./address.ts";
import { abortError, backoffDelay, delay, withDeadline, type Backoff } from "../io/deadline.ts";
import { otherFileKind } from "./not-a-socket.ts";
import { assertTrustedOwner, type SocketOwners } from "./socket-owner.ts";
import { WrongServiceError } from "./wrong-service.ts";
import { adoptDescriptor, type Traffic } from "../io/adopt-descriptor.ts";
import type { SocketStream } from "../io/stream.ts";

/** Default limit of a connect with its handshake, in milliseconds. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

/** Options of {@link dial}. */
export interface DialOptions {
  /** In milliseconds, for the connect and the hybrid handshake together. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** SOCK_SEQPACKET instead of SOCK_STREAM: each write is one packet, each chunk read is one. */
  seqpacket?: boolean | undefined;
  /**
   * Users besides our own and root who may listen on a Unix socket that is dialled (default: none).
   */
  socketOwners?: SocketOwners | undefined;
  /** Receives each step of the connection as text, for `--verbose`. */
  onStep?: ((step: string) => void) | undefined;
  /** What the connection is for (default: messages). */
  traffic?: Traffic | undefined;
  /** Passes CID -1 (any) to the kernel, which usually refuses it, in place of an error of ours. */
  anyCid?: boolean | undefined;
}

/**
 * Connects and returns a stream.
 *
 * @throws {VsockboxError} UNAVAILABLE (no listener, no such CID or socket), TIMEOUT, REFUSED (also
 * SocketOwnerError), USAGE (an address that cannot be dialled), BAD_DATA (the hybrid handshake), ABORTED.
 */
export async function dial(
  address: SocketAddress,
  options: DialOptions = {},
): Promise<SocketStream> {
  const deadline = deadlineOf(options);
  const fd = await connectSocket(address, options, deadline);
  const stream = await adoptDescriptor(fd, options.traffic);
  if (address.kind === "hybrid") {
    await streamHandshake(stream, address, options, deadline);
    options.onStep?.(`the VMM has connected to port ${address.port ?? 0} of the guest`);
  }
  return stream;
}

/**
 * Connects and returns the bare descriptor (non-blocking), which the caller owns, with no byte after the
 * handshake read.
 *
 * @throws {VsockboxError} as {@link dial}.
 */
export async function dialDescriptor(
  address: SocketAddress,
  options: DialOptions = {},
): Promise<number> {
  const deadline = deadlineOf(options);
  const fd = await connectSocket(address, options, deadline);
  if (address.kind !== "hybrid") return fd;
  try {
    await descriptorHandshake(fd, address, options, deadline);
    return fd;
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
}

function deadlineOf({ timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS }: DialOptions): number {
  return performance.now() + timeoutMs;
}

/** Short pauses at first: most connects are done within a millisecond. */
const CONNECT_BACKOFF: Backoff = { firstMs: 1, factor: 1.5, maxMs: 20 };

async function connectSocket(
  address: SocketAddress,
  options: DialOptions,
  deadline: number,
): Promise<number> {
  if (options.signal?.aborted) throw abortError(options.signal, "connect");
  const shown = formatAddress(address);
  options.onStep?.(`connecting to ${shown}`);
  const { family, sockaddr } = targetOf(address, shown, options);
  const fd = openSocket(family, options.seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, shown);
  try {
    if (family === AF_VSOCK) {
      setVsockBufferSize(fd, VSOCK_BUFFER_BYTES);
      setVsockConnectTimeout(fd, Math.max(1, deadline - performance.now()));
    }
    let errno = startConnect(fd, sockaddr);
    for (let attempt = 0; errno === ERRNO.EAGAIN || errno === ERRNO.EINPROGRESS; attempt++) {
      // EAGAIN: the backlog of a Unix listener is full, connect again. EINPROGRESS: wait.
      const pending = errno === ERRNO.EINPROGRESS;
      if (pending && pollDescriptor(fd, POLLOUT, attempt === 0 ? 1 : 0) !== 0) {
        errno = socketError(fd);
        break;
      }
      const left = deadline - performance.now();
      if (left <= 0) throw connectTimeout(shown);
      await delay(Math.min(left, backoffDelay(CONNECT_BACKOFF, attempt)), options.signal);
      if (!pending) errno = startConnect(fd, sockaddr);
    }
    if (errno !== 0) throw connectError(errno, address);
    if (family === AF_UNIX) assertTrustedOwner(fd, shown, options.socketOwners ?? []);
    options.onStep?.(`connected to ${shown}`);
    return fd;
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
}

function targetOf(address: SocketAddress, shown: string, { anyCid = false }: DialOptions) {
  if (address.kind !== "vsock") {
    if (address.kind === "hybrid") requirePort(address.port, shown);
    return { family: AF_UNIX, sockaddr: encodeUnixName(address.path) };
  }
  const port = requirePort(address.port, shown);
  if (address.cid === ANY && !anyCid) {
    throw new VsockboxError({
      code: "USAGE",
      step: "connect",
      operation: "connect",
      address: shown,
      message: "any CID is for listening, not for connecting",
      hint: "name a CID: 2 is the host, 1 this machine itself, others are VMs",
    });
  }
  return {
    family: AF_VSOCK,
    sockaddr: encodeSockaddrVm({
      cid: address.cid,
      port,
      flags: address.toHost ? VMADDR_FLAG_TO_HOST : 0,
    }),
  };
}

function requirePort(port: number | undefined, shown: string): number {
  if (port !== undefined && port !== ANY) return port;
  throw new VsockboxError({
    code: "USAGE",
    step: "connect",
    operation: "connect",
    address: shown,
    message: "the port is missing",
    hint: `write it after the address, as in ${shown.replace(/:4294967295$/, "")}:5000`,
  });
}

function connectTimeout(shown: string): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    step: "connect",
    operation: "connect",
    address: shown,
    message: "no answer in time",
    errno: "ETIMEDOUT",
    hint: "is the VM running, and does something listen on that port? `vsockbox wait` waits for it",
  });
}

function connectError(errno: number, address: SocketAddress): VsockboxError {
  const shown = formatAddress(address);
  // connect(2) reports a file of another kind as ECONNREFUSED, like a socket without a listener.
  if (errno === ERRNO.ECONNREFUSED && address.kind !== "vsock") {
    const kind = otherFileKind(address.path);
    if (kind !== undefined) return notASocket(shown, kind);
  }
  return systemError(errno, {
    step: "connect",
    operation: "connect",
    address: shown,
    hint: connectHint(errno, address),
  });
}

function notASocket(address: string, kind: string): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    step: "connect",
    operation: "connect",
    address,
    message: `the path leads to ${kind}, not to a socket`,
    errno: "ECONNREFUSED",
  });
}

function connectHint(errno: number, address: SocketAddress): string | undefined {
  if (address.kind === "vsock") {
    switch (errno) {
      case ERRNO.ECONNRESET:
      case ERRNO.ECONNREFUSED:
        return `nothing listens on port ${address.port} at CID ${address.cid}; \`vsockbox wait\` waits until something does`;
      case ERRNO.ETIMEDOUT:
        return "the other side does not answer: is the VM running?";
      default:
        return `is there a VM with CID ${address.cid}, and is the vsock transport loaded? (host: vhost_vsock, guest: vmw_vsock_virtio_transport, CID 1: vsock_loopback)`;
    }
  }
  if (isAbstract(address.path)) {
    return "no process listens on that abstract name in this network namespace";
  }
  if (errno === ERRNO.EACCES) return "the socket or its directory belongs to another user";
  return errno === ERRNO.ECONNREFUSED
    ? "the socket file exists, but no process listens on it: was the program that made it stopped?"
    : "check the path, and that the program that listens there has been started";
}

function hybridClosed(address: SocketAddress): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    step: "connect",
    operation: "connect",
    address: formatAddress(address),
    message: "the VMM closed the connection without an answer",
    hint: "nothing listens on that port in the guest, or no guest is running yet; `vsockbox wait` waits for it",
  });
}

async function streamHandshake(
  stream: SocketStream,
  address: SocketAddress & { kind: "hybrid" },
  options: DialOptions,
  deadline: number,
): Promise<void> {
  const reader = new HandshakeReader();
  let head: Uint8Array = new Uint8Array(0);
  const handshake = async () => {
    await stream.write(encodeConnect(address.port ?? 0));
    for (;;) {
      const chunk = await stream.read();
      if (chunk === undefined) throw hybridClosed(address);
      head = Buffer.concat([head, chunk]).subarray(0, RECOGNISED_BYTES);
      const done = reader.push(chunk);
      if (done !== undefined) return stream.unread(done.rest);
    }
  };
  try {
    await withDeadline(handshake(), {
      milliseconds: Math.max(0, deadline - performance.now()),
      signal: options.signal,
      timeoutError: () => connectTimeout(formatAddress(address)),
      onGiveUp: (reason) => stream.abort(reason),
    });
  } catch (thrown) {
    stream.abort();
    if (thrown instanceof VsockboxError && thrown.code === "TRANSPORT") {
      throw hybridClosed(address);
    }
    const service = recogniseService(head);
    throw service === undefined || service === "hybrid" || !(thrown instanceof VsockboxError)
      ? thrown
      : new WrongServiceError(address, service, "hybrid", thrown);
  }
}

/** Byte by byte, so that what follows the line stays in the socket. */
async function descriptorHandshake(
  fd: number,
  address: SocketAddress & { kind: "hybrid" },
  options: DialOptions,
  deadline: number,
): Promise<void> {
  const request = encodeConnect(address.port ?? 0);
  if (writeDescriptor(fd, request) !== request.length) throw hybridClosed(address);
  const reader = new HandshakeReader();
  const byte = new Uint8Array(1);
  for (let attempt = 0; ;) {
    const count = readDescriptor(fd, byte);
    if (count === 1) {
      attempt = 0;
      if (reader.push(byte) !== undefined) return;
    } else if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) {
      const left = deadline - performance.now();
      if (left <= 0) throw connectTimeout(formatAddress(address));
      if (pollDescriptor(fd, POLLIN, attempt === 0 ? 1 : 0) === 0) {
        await delay(Math.min(left, backoffDelay(CONNECT_BACKOFF, attempt++)), options.signal);
      }
    } else {
      throw hybridClosed(address);
    }
  }
}
