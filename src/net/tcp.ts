/** TCP on this machine's own network: what port forwards lead to. */
import { reasonOf, VsockboxError } from "../errors.ts";
import { socketHandler, type SocketStream } from "./stream.ts";

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
      address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
      message,
      errno,
      cause: thrown,
    });
  }
  return opened.promise;
}
