/** Makes streams of descriptors, and connects the runtime's callbacks with them. */
import type { SocketHandler } from "bun";
import { closeDescriptor } from "../ffi/socket.ts";
import { DescriptorSocket } from "./descriptor-socket.ts";
import { type DescriptorWatch, descriptorWatch } from "./descriptor-watch.ts";
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
export async function adoptDescriptor(fd: number): Promise<SocketStream> {
  const watch = descriptorWatch();
  return watch.hasEvents && !usesRuntimeSockets() ? adoptOwn(fd, watch) : adoptByRuntime(fd);
}

/** If this variable is set, sockets are the runtime's, as on kernels without asynchronous I/O. */
const RUNTIME_SOCKETS_VARIABLE = "VSOCKBOX_RUNTIME_SOCKETS";

function usesRuntimeSockets(): boolean {
  const value = process.env[RUNTIME_SOCKETS_VARIABLE];
  return value !== undefined && value !== "" && value !== "0";
}

function adoptOwn(fd: number, watch: DescriptorWatch): SocketStream {
  let socket: DescriptorSocket;
  try {
    socket = new DescriptorSocket(fd, watch);
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
