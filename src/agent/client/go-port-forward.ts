/** The host's side of PortForward: from a connection to the agent to one inside the guest. */
import { VsockboxError } from "../../errors.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS } from "../../net/dial.ts";
import { answerInTime } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { encodeJsonFrame, frameName, FrameType } from "../../protocols/agent/frame.ts";
import { commandEndedEarly } from "./go-command.ts";
import { refusedBy } from "./handshake.ts";
import { isAgentRefusal } from "../../protocols/agent/refused.ts";
import { printable } from "../../text/printable.ts";
import { FrameConnection } from "../channel/frame-connection.ts";
import type { FrameExchange } from "../channel/frame-exchange.ts";

/** Limit of an agent's reason, in UTF-16 units. */
const MAX_REASON_CHARACTERS = 4096;

/**
 * Asks the agent to connect to `host:port` inside the guest.
 *
 * @param agent its address, as errors show it.
 * @returns the stream, which from here on carries that connection's raw bytes.
 * @param timeoutMs time limit for the answer, in milliseconds.
 * @throws {VsockboxError} TIMEOUT; UNAVAILABLE with the agent's reason, TRANSPORT, BAD_DATA.
 */
export async function openPortForward(
  stream: SocketStream,
  agent: string,
  target: { host: string; port: number },
  timeoutMs: number = DEFAULT_CONNECT_TIMEOUT_MS,
): Promise<SocketStream> {
  return answerInTime(stream, connectThrough(stream, agent, target), {
    milliseconds: timeoutMs,
    what: "forward port",
    hint: "the agent may be stopped, or nothing answers at that address in the guest",
  });
}

async function connectThrough(
  stream: SocketStream,
  agent: string,
  target: { host: string; port: number },
): Promise<SocketStream> {
  const connection = new FrameConnection(stream);
  try {
    await requestPortForward(connection, agent, target);
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
  return connection.detach();
}

/**
 * Sends the request over a connection and waits for Ready: all bytes after that frame are those of the
 * target.
 *
 * @param agent its address, as errors show it.
 * @throws {VsockboxError} UNAVAILABLE with the agent's reason, TRANSPORT, BAD_DATA.
 */
export async function requestPortForward(
  connection: FrameExchange,
  agent: string,
  { host, port }: { host: string; port: number },
): Promise<void> {
  await connection.sendEncoded(encodeJsonFrame(FrameType.PortForward, { host, port }));
  let reason = "";
  for (;;) {
    const frame = await connection.next();
    if (frame?.type === FrameType.Ready) return;
    if (frame?.type === FrameType.Stderr) {
      if (reason.length < MAX_REASON_CHARACTERS) reason += new TextDecoder().decode(frame.payload);
      continue;
    }
    if (frame !== undefined) {
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "forward port",
        message: `the agent answered with an unexpected ${frameName(frame.type)} frame`,
      });
    }
    // The same frame carries an agent's refusal, and the refusal of the target.
    if (reason === "") throw commandEndedEarly(reason, agent);
    throw (
      (isAgentRefusal(reason) ? refusedBy(reason, agent) : undefined) ??
      new VsockboxError({
        code: "UNAVAILABLE",
        operation: "forward port",
        message: printable(reason.trim()),
      })
    );
  }
}
