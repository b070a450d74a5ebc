/** Ends a session with a reason, so that every kind of client exits too. */
import { VsockboxError } from "../errors.ts";
import { encodeMessage, Type } from "../protocols/vsock-shell/message.ts";
import type { ServerProtocol } from "../protocols/vsock-shell/server-protocol.ts";
import { encodeRefusal } from "../protocols/vsock-shell/texts.ts";
import { printable } from "../text/printable.ts";
import type { MessageConnection } from "./message-connection.ts";

/** How long a client that reads nothing is waited for, in milliseconds. */
const UNREAD_END_MS = 10_000;

/**
 * Sends the reason and closes. A C client that sends or receives a file exits at a refusal of its kind, wherever
 * in the transfer; one with a terminal shows the text and ends at CLIENT_END. Each only logs messages that are
 * meant for the others. Never throws.
 */
export async function endWithError(
  connection: MessageConnection,
  error: VsockboxError,
  state: ServerProtocol["state"],
): Promise<void> {
  const reason = printable(error.wireText);
  const text = new TextEncoder().encode(`vsock-shell-server: ${reason}\r\n`).subarray(0, 4000);
  const refusals = [Type.ReadySend, Type.ReadyReceive] as const;
  const words = [
    // What the client waits for comes first.
    ...(state === "download" ? refusals.toReversed() : refusals).map((type) =>
      encodeMessage(type, encodeRefusal(reason)),
    ),
    encodeMessage(Type.PtyData, text),
    encodeMessage(Type.ClientEnd),
  ];
  const bytes = Buffer.concat(words);
  // The client may have disconnected; then it is not awaited.
  void connection.sendEncoded(bytes).catch(() => undefined);
  const timer = setTimeout(() => connection.stream.abort(), UNREAD_END_MS);
  await connection.finish();
  clearTimeout(timer);
}

/** Why sessions end when their server does. */
export function serverStopped(): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "serve",
    message: "the server was stopped",
  });
}
