/** Joining a connection to a local input and output, as netcat does. */
import { descriptorWatch } from "../../io/descriptor-watch.ts";
import { copy, type ByteSink, type ByteSource } from "../../io/pump.ts";
import type { SocketStream } from "../../io/stream.ts";

/** How often a half-closed peer is asked whether it is still there, in milliseconds. */
const PEER_CHECK_MS = 200;

/**
 * Copies the connection to `output` and `input` to the connection, each with half-close, until both
 * are done, or until the peer has closed both directions: then the input has no reader.
 */
export async function joinStandardStreams(
  stream: SocketStream,
  input: ByteSource | undefined,
  output: ByteSink,
): Promise<void> {
  using _linger = descriptorWatch().linger();
  let sent = false;
  const sending = (
    input === undefined ? stream.end() : copy(input, stream).then(() => undefined)
  ).finally(() => {
    sent = true;
  });
  const receiving = copy(stream, output);
  try {
    // A failing input must not wait for the peer, and neither may a failing output wait for input.
    await Promise.all([
      receiving,
      Promise.race([sending, peerLeaves(stream, receiving, () => sent)]),
    ]);
    await stream.close();
  } catch (thrown) {
    stream.abort();
    await Promise.allSettled([receiving]);
    throw thrown;
  }
}

async function peerLeaves(
  stream: SocketStream,
  receiving: Promise<unknown>,
  isSent: () => boolean,
): Promise<void> {
  await receiving.catch(() => undefined);
  while (!isSent() && !stream.isPeerGone) await Bun.sleep(PEER_CHECK_MS);
}
