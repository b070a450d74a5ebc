/** One connection of the server, from its first message to its end. */
import type { Log } from "../process/service/log.ts";
import { toVsockboxError, VsockboxError } from "../errors.ts";
import type { PathRoot } from "../files/path-root.ts";
import { formatPeer } from "../io/peer.ts";
import { withDeadline } from "../io/deadline.ts";
import type { SocketStream } from "../io/stream.ts";
import {
  type OpenEvent,
  ServerProtocol,
  type TransferEvent,
} from "../protocols/vsock-shell/server-protocol.ts";
import { showPath } from "../files/bytes-path.ts";
import { endWithError, serverStopped } from "./end-session.ts";
import { MessageConnection } from "./message-connection.ts";
import { openUpload, openSource } from "./server-path.ts";
import { runPlainDownload } from "./plain-download.ts";
import { runPlainUpload } from "./plain-upload.ts";
import { runTerminal, type TerminalOptions } from "./terminal-session.ts";
import { runTreeDownload, runTreeUpload, wantsTree } from "./tree-session.ts";
import { Waker } from "./wake-c-client.ts";

/** Limit for a client's first request, in milliseconds. */
const FIRST_MESSAGE_TIMEOUT_MS = 30_000;

/** What all sessions share. */
export interface ShellSessionServices extends TerminalOptions {
  root: PathRoot;
  /** Whether there are transfers only. */
  filesOnly: boolean;
  log: Log;
}

/** Serves one connection. Never throws. */
export async function serveSession(
  stream: SocketStream,
  services: ShellSessionServices,
): Promise<void> {
  const { log } = services;
  const peer = formatPeer(stream.peer);
  const connection = new MessageConnection(stream);
  const protocol = new ServerProtocol();
  log.debug(`${peer}: connected`);
  try {
    const event = await firstEvent(connection, protocol, services.stopping);
    if (event === undefined) {
      log.debug(`${peer}: left without a word`);
      await stream.close();
      return;
    }
    await serve(connection, protocol, event, services);
    log.debug(`${peer}: ended`);
  } catch (thrown) {
    const error = toVsockboxError(thrown, "serve");
    log.warn(`${peer}: ${error.message}`);
    await endWithError(connection, error, protocol.state);
  }
}

async function serve(
  connection: MessageConnection,
  protocol: ServerProtocol,
  event: OpenEvent | TransferEvent,
  services: ShellSessionServices,
): Promise<void> {
  const peer = formatPeer(connection.stream.peer);
  const { root, log } = services;
  if (event.kind === "open") {
    if (services.filesOnly) throw refusedShell();
    log.info(`${peer}: ${event.command === undefined ? "shell" : "command"}`);
    const problem = await runTerminal(connection, protocol, event, services);
    if (problem !== undefined) log.warn(`${peer}: ${problem.message}`);
    return;
  }
  log.info(`${peer}: ${event.kind} ${showPath(event.path)}`);
  const { extension, pair, path } = event;
  const { stream } = connection;
  const stop = () => stream.abort(serverStopped());
  services.stopping.addEventListener("abort", stop, { once: true });
  try {
    if (event.kind === "upload") {
      const destination = openUpload(root, event);
      using _directory = destination.directory;
      if (wantsTree(extension)) await runTreeUpload(connection, pair, extension, destination);
      else await runPlainUpload(connection, protocol, event, destination);
    } else {
      const source = openSource(root, event);
      using _opened = source.opened;
      if (wantsTree(extension)) await runTreeDownload(connection, path, pair, extension, source);
      else await runPlainDownload(connection, protocol, event, source);
    }
  } finally {
    services.stopping.removeEventListener("abort", stop);
  }
  if (!wantsTree(extension)) await connection.finish();
}

/** The client's request; undefined if it disconnected before. */
async function firstEvent(
  connection: MessageConnection,
  protocol: ServerProtocol,
  stopping: AbortSignal,
): Promise<OpenEvent | TransferEvent | undefined> {
  using waker = new Waker(connection);
  const read = async () => {
    for (;;) {
      const message = await connection.next();
      if (message === undefined) return undefined;
      waker.heard(message.data.length);
      const event = protocol.accept(message);
      if (event.kind === "open" || event.kind === "upload" || event.kind === "download") {
        return event;
      }
    }
  };
  return await withDeadline(read(), {
    milliseconds: FIRST_MESSAGE_TIMEOUT_MS,
    signal: stopping,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "read the first message",
        message: `the client sent no request within ${FIRST_MESSAGE_TIMEOUT_MS / 1000} seconds`,
      }),
    onGiveUp: () => undefined,
  });
}

function refusedShell(): VsockboxError {
  return new VsockboxError({
    code: "REFUSED",
    operation: "open session",
    message: "this server has files only, no shell",
  });
}
