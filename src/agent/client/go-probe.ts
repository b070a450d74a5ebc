/** Recognises the Go agent, which closes the connection for a Hello. */
import { VsockboxError } from "../../errors.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketAddress } from "../../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial, type DialOptions } from "../../net/dial.ts";
import { encodeJsonFrame, FrameType } from "../../protocols/agent/frame.ts";
import { encodeExecRequest } from "../../protocols/agent/messages.ts";
import { FrameConnection } from "../channel/frame-connection.ts";

/**
 * Has no effect in a shell. Longer than the 32 bytes after which a hybrid-vsock listener closes a
 * connection without a line.
 */
const PROBE_COMMAND = "true # vsockbox: is this an agent?";

/**
 * Returns whether an agent answers a request of the Go agent's protocol; the only one that all its
 * versions have runs a command.
 *
 * @throws {VsockboxError} ABORTED.
 */
export async function answersGoFrames(
  address: SocketAddress,
  options: DialOptions,
): Promise<boolean> {
  try {
    const stream = await dial(address, options);
    try {
      const connection = new FrameConnection(stream);
      await connection.sendEncoded(probeFrame());
      const answer = await withDeadline(connection.next(), {
        milliseconds: options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
        signal: options.signal,
        timeoutError: () =>
          new VsockboxError({ code: "TIMEOUT", operation: "probe", message: "no answer in time" }),
        onGiveUp: (reason) => stream.abort(reason),
      });
      return answer !== undefined;
    } finally {
      stream.abort();
    }
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError) || thrown.code === "ABORTED") throw thrown;
    return false;
  }
}

function probeFrame(): Uint8Array {
  const request = encodeExecRequest({
    command: PROBE_COMMAND,
    args: [],
    workingDir: undefined,
    env: {},
    user: undefined,
    sandbox: undefined,
    stdin: new Uint8Array(0),
  });
  return encodeJsonFrame(FrameType.Exec, request);
}
