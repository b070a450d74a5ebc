/** Connecting to a server. */
import type { SocketAddress } from "../net/address.ts";
import { dial, type DialOptions } from "../net/dial.ts";
import { MessageConnection } from "./message-connection.ts";

/**
 * Connects.
 *
 * @throws {VsockboxError} UNAVAILABLE, TIMEOUT, REFUSED, as `dial`.
 */
export async function dialShell(
  address: SocketAddress,
  options?: DialOptions,
): Promise<MessageConnection> {
  return new MessageConnection(await dial(address, options), { address, options });
}
