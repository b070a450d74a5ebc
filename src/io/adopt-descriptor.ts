/** Makes streams of descriptors, and connects the runtime's callbacks with them. */
import type { SocketHandler } from "bun";
import { AF_INET, AF_INET6, AF_UNIX } from "../ffi/sockaddr.ts";
import { closeDescriptor, socketFamily } from "../ffi/socket.ts";
import { DescriptorSocket } from "./descriptor-socket.ts";
import { descriptorWatch } from "./descriptor-watch.ts";
import { SocketStream, type StreamSocket } from "./stream.ts";

/** Returns the runtime's callbacks, which call the {@link SocketStream} of each socket. */
export function socketHandler(
  onOpen: (stream: SocketStream) => void,
): SocketHandler<SocketStream, "buffer"> {
  return {
    binaryType: "buffer",
    open(socket) {
      const stream = new SocketStream(socket as unknown as StreamSocket);
      socket.data = stream;
      onOpen(stream);
    },
    data: (socket, chunk) => socket.data.onData(chunk),
    end: (socket) => socket.data.onEnd(),
    drain: (socket) => socket.data.onDrain(),
    close: (socket, error) => socket.data?.onClose(error),
    error: (socket, error) => socket.data?.onClose(error),
  };
}

/**
 * Makes a stream of a connected, non-blocking descriptor, which the stream owns from then on.
 *
 * A descriptor whose connect is still pending must not be handed over: the runtime reports a
 * refusal as an ordinary close, or not at all.
 */
export async function adoptDescriptor(
  fd: number,
  traffic: Traffic = "messages",
): Promise<SocketStream> {
  return traffic === "bulk" && hasOwnSocket(fd) ? adoptOwn(fd) : adoptByRuntime(fd);
}

/**
 * What a connection carries. Bulk costs half as much by a socket of our own, whose wake-ups cost more: an
 * answer to a short message takes about 20 microseconds longer.
 */
export type Traffic = "messages" | "bulk";

/** Families whose sockets are read and written by descriptor. Those of AF_VSOCK are the runtime's. */
const OWN_FAMILIES: ReadonlySet<number> = new Set([AF_UNIX, AF_INET, AF_INET6]);

function hasOwnSocket(fd: number): boolean {
  if (usesRuntimeSockets() || !OWN_FAMILIES.has(socketFamily(fd))) return false;
  return descriptorWatch().hasEvents;
}

/** If this variable is set, sockets are the runtime's, as on kernels that report no events. */
const RUNTIME_SOCKETS_VARIABLE = "VSOCKBOX_RUNTIME_SOCKETS";

function usesRuntimeSockets(): boolean {
  const value = process.env[RUNTIME_SOCKETS_VARIABLE];
  return value !== undefined && value !== "" && value !== "0";
}

function adoptOwn(fd: number): SocketStream {
  let socket: DescriptorSocket;
  try {
    socket = new DescriptorSocket(fd);
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
  const stream = new SocketStream(socket);
  socket.start(stream);
  return stream;
}

async function adoptByRuntime(fd: number): Promise<SocketStream> {
  const opened = Promise.withResolvers<SocketStream>();
  try {
    // `fd` and `allowHalfOpen` together are missing from the types of this version.
    const options = { fd, allowHalfOpen: true, socket: socketHandler(opened.resolve) };
    await Bun.connect(options as unknown as Parameters<typeof Bun.connect<SocketStream>>[0]);
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
  return opened.promise;
}
