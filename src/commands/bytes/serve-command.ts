/** A command joined to a connection, as inetd and `socat EXEC:` do it. */
import { reasonOf } from "../../errors.ts";
import { formatPeer } from "../../io/peer.ts";
import { copy, type ByteSink } from "../../io/pump.ts";
import type { SocketStream } from "../../io/stream.ts";
import { ownEnvironment } from "../../process/environment.ts";
import { shellCommand, spawnCommand } from "../../process/spawn.ts";

/**
 * Runs a shell line with the connection as its input and output, half-close carried over both ways;
 * its standard error goes to `errors`. A peer that breaks the connection ends the command.
 *
 * @returns the command's exit status.
 */
export async function serveCommand(
  line: string,
  stream: SocketStream,
  errors: ByteSink,
): Promise<number> {
  const child = spawnCommand({
    argv: shellCommand(line),
    env: ownEnvironment().with(peerEnvironment(stream)),
  });
  const input = copy(stream, child.stdin).catch(async (thrown: unknown) => {
    // EPIPE only means that the command has closed its input; anything else, that the peer has closed.
    if (reasonOf(thrown).errno !== "EPIPE") await child.terminateGroup();
  });
  const output = copy(child.stdout, stream).catch(() => child.terminateGroup());
  const talk = copy(child.stderr, errors).catch(() => undefined);
  const { code } = await child.exited;
  await Promise.all([output, talk]);
  void child.closePipes();
  await stream.close();
  await input;
  return code;
}

/** Who is connected, for the command to see. */
function peerEnvironment(stream: SocketStream): Record<string, string> {
  const { peer } = stream;
  return {
    VSOCKBOX_PEER: formatPeer(peer),
    ...(peer.kind === "vsock"
      ? { VSOCKBOX_PEER_CID: String(peer.cid), VSOCKBOX_PEER_PORT: String(peer.port) }
      : {}),
  };
}
