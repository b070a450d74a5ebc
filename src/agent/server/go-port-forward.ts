/** PortForward: joins a TCP connection inside the guest to the host's connection. */
import { dialTcp } from "../../net/tcp.ts";
import { joinConnections } from "../../io/join.ts";
import { decodePortForwardRequest } from "../../protocols/agent/file-messages.ts";
import { FrameType } from "../../protocols/agent/frame.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";

/**
 * Dials the requested address; on success sends Ready and carries raw bytes both ways, each with
 * half-close.
 *
 * @throws {VsockboxError} BAD_DATA or UNAVAILABLE; the caller sends it to the host in a Stderr frame.
 */
export async function runPortForwardSession(
  connection: FrameConnection,
  payload: Uint8Array,
): Promise<void> {
  const { host, port } = decodePortForwardRequest(payload);
  const target = await dialTcp(host, port);
  const stream = connection.detach();
  try {
    await connection.send(FrameType.Ready, new Uint8Array(0));
    // Without frames the only report of a connection that broke is the reset of the other.
    if ((await joinConnections(stream, target)) !== undefined) return;
    await Promise.all([stream.close(), target.close()]);
  } catch {
    stream.abort();
    target.abort();
  }
}
