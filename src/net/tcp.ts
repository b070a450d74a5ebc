/** TCP listeners and connections, the local ends of port forwards. */
import { lookup } from "node:dns/promises";
import { type Reason, reasonOf, VsockboxError } from "../errors.ts";
import { ERRNO } from "../ffi/errno.ts";
import {
  AF_INET,
  AF_INET6,
  encodeSockaddrInternet,
  type InternetAddress,
} from "../ffi/sockaddr.ts";
import {
  closeDescriptor,
  duplicateDescriptor,
  openSocket,
  pollDescriptor,
  POLLOUT,
  setOption,
  SOCK_STREAM,
  socketError,
  startConnect,
} from "../ffi/socket.ts";
import { errnoMessage, errnoName } from "../system-errors.ts";
import { decisiveFailure } from "./decisive-failure.ts";
import { AcceptLoop } from "./accept-loop.ts";
import { formatHostPort } from "../text/endpoint.ts";
import { adoptDescriptor, socketHandler } from "../io/adopt-descriptor.ts";
import type { SocketStream } from "../io/stream.ts";

/** tcp(7), netinet/tcp.h: small writes are sent at once. */
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const ENABLED = Uint8Array.of(1, 0, 0, 0);

/** A TCP port that accepts connections until it is closed. */
export interface TcpListener {
  /** The port, also if the kernel chose it. */
  readonly port: number;
  close(): void;
}

/**
 * Listens on a TCP address.
 *
 * @param beforeNext as in `listenEndpoint`.
 * @throws {VsockboxError} CANNOT_CREATE: the address is in use or not local.
 */
export function listenTcp(
  host: string,
  port: number,
  onConnection: (stream: SocketStream) => void,
  beforeNext?: () => Promise<void> | undefined,
): TcpListener {
  try {
    const { fd, port: bound } = openTcpListener(host, port);
    const loop = new AcceptLoop({
      fd,
      address: formatHostPort(host, bound),
      onAccept: async (accepted) => {
        setOption(accepted, IPPROTO_TCP, TCP_NODELAY, ENABLED);
        // One that is disconnected already is closed by the attempt.
        const stream = await adoptDescriptor(accepted).catch(() => undefined);
        if (stream === undefined) return;
        if (loop.isClosed) return stream.abort();
        onConnection(stream);
        await beforeNext?.();
      },
    });
    return { port: bound, close: () => loop.close() };
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "listen on",
      address: formatHostPort(host, port),
      message,
      errno,
      hint: "another program may have the port; 0 lets the kernel choose one",
      cause: thrown,
    });
  }
}

/**
 * Binds and listens by the runtime, which resolves the host, and duplicates the descriptor before the
 * runtime accepts: its own loop does not pause if descriptors are short.
 */
function openTcpListener(host: string, port: number): { fd: number; port: number } {
  const server = Bun.listen({ hostname: host, port, socket: { data: () => undefined } });
  try {
    // `fd` is missing from the types of this version.
    const own: unknown = Reflect.get(server, "fd");
    if (typeof own !== "number") throw new TypeError("a listener has no descriptor");
    return { fd: duplicateDescriptor(own), port: server.port };
  } finally {
    server.stop(false);
  }
}

/**
 * Connects to a TCP address.
 *
 * @throws {VsockboxError} UNAVAILABLE, with the errno's name: of the address that explains most.
 */
export async function dialTcp(host: string, port: number): Promise<SocketStream> {
  const opened = Promise.withResolvers<SocketStream>();
  try {
    await Bun.connect<SocketStream>({
      hostname: host,
      port,
      allowHalfOpen: true,
      socket: socketHandler(opened.resolve),
    });
  } catch (thrown) {
    const { errno, message } = (await kernelFailure(host, port)) ?? reasonOf(thrown);
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "connect",
      address: formatHostPort(host, port),
      message,
      errno,
      cause: thrown,
    });
  }
  return opened.promise;
}

/**
 * Returns the reason of the kernel for a failed connect: the runtime reports ECONNREFUSED for other errors,
 * too, and one error for all addresses of a name.
 *
 * @returns undefined if the kernel does not know the reason at once.
 */
async function kernelFailure(host: string, port: number): Promise<Reason | undefined> {
  const found = await lookup(host, { all: true }).catch(() => []);
  const errnos = found.map(({ address, family }) =>
    immediateErrno({ host: address, port }, family === 6 ? AF_INET6 : AF_INET),
  );
  // The runtime has waited for the others.
  if (errnos.some((errno) => errno === 0 || errno === ERRNO.EINPROGRESS)) return undefined;
  return decisiveFailure(
    errnos.map((errno) => ({ errno: errnoName(errno), message: errnoMessage(errno) })),
  );
}

/** Returns the errno of a connect that is not waited for; 0 without a failure. */
function immediateErrno(address: InternetAddress, family: number): number {
  const fd = openSocket(family, SOCK_STREAM, address.host);
  try {
    const errno = startConnect(fd, encodeSockaddrInternet(address));
    // The loopback interface has answered already.
    const isOver = errno === ERRNO.EINPROGRESS && pollDescriptor(fd, POLLOUT, 0) !== 0;
    return isOver ? socketError(fd) : errno;
  } finally {
    closeDescriptor(fd);
  }
}
