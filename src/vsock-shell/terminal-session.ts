/** A shell or a command on a terminal, for one client. */
import { ServedCommand } from "../agent/server/running-command.ts";
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { onAbort } from "../io/deadline.ts";
import { Environment } from "../process/environment.ts";
import { isExecutable } from "../process/executable.ts";
import {
  encodeTerminalExtension,
  type TerminalExtension,
} from "../protocols/vsock-shell/extension.ts";
import { Type } from "../protocols/vsock-shell/message.ts";
import { encodeStatus } from "../protocols/vsock-shell/payloads.ts";
import type { OpenEvent, ServerProtocol } from "../protocols/vsock-shell/server-protocol.ts";
import { encodeText } from "../protocols/vsock-shell/texts.ts";
import { VERSION } from "../version.ts";
import { endWithError, serverStopped } from "./end-session.ts";
import type { MessageConnection } from "./message-connection.ts";

/** The environment of the C server's children. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_TERM = "xterm";

/** The terminal size of a client that has sent none. */
const DEFAULT_SIZE = { rows: 24, cols: 80 };

/** What a terminal session needs of its server. */
export interface TerminalOptions {
  /** The shell; undefined: the first that is there of bash, SHELL and sh. */
  shell: string | undefined;
  /** The working directory of sessions; undefined: the server's own. */
  directory: string | undefined;
  /** Fires when the server is to end. */
  stopping: AbortSignal;
}

/**
 * Runs it to its end, or until the client disconnects; all output is sent before CLIENT_END.
 *
 * @returns why it was ended, as sent to the client; undefined if it exited by itself.
 * @throws {VsockboxError} CONFIG if it cannot be started.
 */
export async function runTerminal(
  connection: MessageConnection,
  protocol: ServerProtocol,
  event: OpenEvent,
  options: TerminalOptions,
): Promise<VsockboxError | undefined> {
  const command = start(event, options);
  const cancelled = Promise.withResolvers<VsockboxError | "disconnected">();
  using _stop = onAbort(options.stopping, () => cancelled.resolve(serverStopped()));
  void connection.stream.peerEnded.then(() => cancelled.resolve("disconnected"));
  if (event.extension !== undefined) answer(connection, event.type, event.extension);
  void feed(connection, protocol, command).catch((thrown: unknown) =>
    cancelled.resolve(toVsockboxError(thrown, "read from the client")),
  );
  const ended = command.pump((_stream, bytes) => connection.sendBytes(Type.PtyData, bytes));
  const outcome = await Promise.race([ended, cancelled.promise]);
  if (outcome === "disconnected") {
    connection.stream.abort();
    await command.terminate();
  } else if (outcome instanceof VsockboxError) {
    await Promise.all([command.terminate(), endWithError(connection, outcome, "terminal")]);
    return outcome;
  } else {
    await connection.send(Type.ClientEnd, encodeStatus(outcome.code)).catch(() => undefined);
    command.release();
    await connection.finish();
  }
  return undefined;
}

function start({ command, size, extension }: OpenEvent, options: TerminalOptions): ServedCommand {
  const shell = options.shell ?? findShell();
  const env = Environment.fromRecord({
    HOME: process.env["HOME"] ?? "/root",
    PATH,
    TERM: extension?.term ?? DEFAULT_TERM,
    SHELL: shell,
  });
  return ServedCommand.onTerminal(
    {
      argv: command === undefined ? [shell] : [shell, "-c", command],
      env,
      cwd: options.directory,
    },
    size ?? DEFAULT_SIZE,
  );
}

/** The C server has bash alone; a guest may have none. */
function findShell(): string {
  const shells = ["/bin/bash", process.env["SHELL"] ?? "", "/bin/sh"];
  return shells.find((path) => path !== "" && isExecutable(path)) ?? "/bin/sh";
}

/** Announces vsockbox to a vsockbox client. */
function answer(connection: MessageConnection, type: Type, asked: TerminalExtension): void {
  const extension = encodeTerminalExtension({ ...asked, term: undefined }, VERSION);
  // The reader notices a broken connection.
  void connection.send(type, encodeText("", extension)).catch(() => undefined);
  connection.allowLarge(asked.maxData);
}

async function feed(
  connection: MessageConnection,
  protocol: ServerProtocol,
  command: ServedCommand,
): Promise<void> {
  for (;;) {
    const message = await connection.next();
    if (message === undefined) return;
    const event = protocol.accept(message);
    if (event.kind === "input") await command.write(event.bytes);
    if (event.kind === "resize") command.control(event);
  }
}
