/** PortForward: joins a TCP connection inside the guest to the host's connection. */
import { dialTcp } from "../../net/tcp.ts";
import { pump } from "../../io/pump.ts";
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
    await pump(stream, target);
    await Promise.all([stream.close(), target.close()]);
  } catch {
    // One of the connections broke: without frames the only report is the abort of the other.
    stream.abort();
    target.abort();
  }
}
