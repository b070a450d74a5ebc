/** TCP on this machine's own network: what port forwards lead to. */
import { reasonOf, VsockboxError } from "../errors.ts";
import { formatHostPort } from "./forward-spec.ts";
import { socketHandler, type SocketStream } from "./stream.ts";

/** A TCP port that accepts connections until it is closed. */
export interface TcpListener {
  /** The port, also where the kernel chose it. */
  readonly port: number;
  close(): void;
}

/**
 * Listens on a TCP address.
 *
 * @throws {VsockboxError} CANNOT_CREATE: in use, or not this machine's.
 */
export function listenTcp(
  host: string,
  port: number,
  onConnection: (stream: SocketStream) => void,
): TcpListener {
  try {
    const server = Bun.listen<SocketStream>({
      hostname: host,
      port,
      allowHalfOpen: true,
      socket: socketHandler(onConnection),
    });
    return { port: server.port, close: () => server.stop(false) };
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
 * Connects to a TCP address.
 *
 * @throws {VsockboxError} UNAVAILABLE, with the errno's name where the runtime gives one.
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
    const { errno, message } = reasonOf(thrown);
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
