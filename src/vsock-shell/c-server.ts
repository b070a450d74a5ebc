/** Leaving a C server so that it goes on well. */
import { encodeMessage, Type } from "../protocols/vsock-shell/message.ts";
import { encodeText } from "../protocols/vsock-shell/texts.ts";
import type { MessageConnection } from "./message-connection.ts";

/** Limit for the server's end of the session, in milliseconds. */
const FAREWELL_MS = 2000;

/**
 * Ends a session and waits for the server's end of it. If a client just closes, a C server does
 * not notice and spins for ever; if it gets an unknown message, it ends the
 * session and uses memory after freeing it, which often ends the server. The end of a child is what it
 * handles well: so it is asked for a command that ends at once.
 *
 * @param unfinished the rest of a message that was begun.
 */
export async function leaveTransfer(
  connection: MessageConnection,
  unfinished: Uint8Array,
): Promise<void> {
  const exit = encodeMessage(Type.OpenCommand, encodeText("exit"));
  await untilClosed(connection, Buffer.concat([unfinished, exit]));
}

/** Ctrl-C for the running command, then Ctrl-D for its shell. */
const INTERRUPT_KEY = new Uint8Array([0x03]);
const END_KEY = new Uint8Array([0x04]);

/** An interrupted shell discards input before its next prompt; in milliseconds. */
const KEY_PAUSE_MS = 150;

/** Ends a terminal: what runs in it, as far as it obeys, and the shell. */
export async function leaveTerminal(connection: MessageConnection): Promise<void> {
  const keys = setInterval(() => {
    void connection.send(Type.ClientData, END_KEY).catch(() => undefined);
  }, KEY_PAUSE_MS);
  try {
    await untilClosed(connection, encodeMessage(Type.ClientData, INTERRUPT_KEY));
  } finally {
    clearInterval(keys);
  }
}

async function untilClosed(connection: MessageConnection, bytes: Uint8Array): Promise<void> {
  const { stream } = connection;
  const timer = setTimeout(() => stream.abort(), FAREWELL_MS);
  try {
    void stream.write(bytes).catch(() => undefined);
    while ((await stream.read()) !== undefined);
    await stream.close();
  } catch {
    stream.abort();
  } finally {
    clearTimeout(timer);
  }
}
