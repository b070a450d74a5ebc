/** Reading one frame of the VFS protocol where answers come one at a time. */
import { VsockboxError } from "../../errors.ts";
import { formatPeer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import type { VfsFrameReader } from "../../protocols/vfs/frame.ts";

/**
 * Returns the payload of the next frame.
 *
 * @param onChunk called with what is read, before it is decoded.
 * @throws {VsockboxError} TRANSPORT if the connection ends before, BAD_DATA if the frame is too large, or
 * more than one frame has come.
 */
export async function readFrame(
  stream: SocketStream,
  reader: VfsFrameReader,
  onChunk: (chunk: Uint8Array) => void = () => undefined,
): Promise<Uint8Array> {
  for (;;) {
    const chunk = await stream.read();
    if (chunk === undefined) {
      throw new VsockboxError({
        code: "TRANSPORT",
        operation: "read from",
        address: formatPeer(stream.peer),
        message: "the host has closed the connection",
      });
    }
    onChunk(chunk);
    const [payload, extra] = [...reader.push(chunk)];
    if (payload === undefined) continue;
    if (extra === undefined && reader.isAtBoundary) return payload;
    throw new VsockboxError({
      code: "BAD_DATA",
      operation: "read from",
      address: formatPeer(stream.peer),
      message: "an answer without a request has come",
    });
  }
}
