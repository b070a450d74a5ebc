/** Uploads, to our server and to the C one. */
import { closeSync, constants, openSync, type Stats, statSync } from "node:fs";
import { AgentClient } from "../agent/client/agent-client.ts";
import { FrameConnection } from "../agent/channel/frame-connection.ts";
import { DEFAULT_KEEPALIVE_MS, KEEPALIVE_MISSES } from "../agent/channel/peer-liveness.ts";
import { fileError, TransferSummary } from "../agent/transfer/transfer.ts";
import { VsockboxError } from "../errors.ts";
import { baseName, bytesPath, showPath } from "../files/bytes-path.ts";
import { watchIdle } from "../io/idle-timeout.ts";
import { abortError, onAbort } from "../io/deadline.ts";
import { PROTOCOL_VERSION } from "../protocols/agent/hello.ts";
import type { TransferGrant } from "../protocols/vsock-shell/extension.ts";
import { leaveTransfer } from "./c-server.ts";
import type { MessageConnection } from "./message-connection.ts";
import { sendFile } from "./plain-download.ts";
import { shellEndedEarly } from "./remote-shell.ts";
import {
  askForTransfer,
  goesByTree,
  type GrantedTransfer,
  type TransferRequest,
} from "./transfer-request.ts";

/**
 * Checks the local file or tree before the server is asked.
 *
 * @throws {VsockboxError} IO, USAGE.
 */
export function checkUpload({ local, recursive, plain }: TransferRequest): Stats {
  let status: Stats;
  try {
    status = statSync(local);
  } catch (thrown) {
    throw fileError("read", local, thrown);
  }
  const mayBeDirectory = recursive && !plain;
  if (status.isFile() || (status.isDirectory() && mayBeDirectory)) return status;
  throw new VsockboxError({
    code: "USAGE",
    operation: "upload",
    address: showPath(local),
    message: status.isDirectory() ? "it is a directory" : "it is not a regular file",
    hint: status.isDirectory() ? "--recursive (-R) sends directories" : undefined,
  });
}

/**
 * Sends a file or tree.
 *
 * @throws {VsockboxError} what ended the transfer.
 */
export async function upload(
  connection: MessageConnection,
  request: TransferRequest,
): Promise<TransferSummary> {
  let isC = false;
  using _abort = onAbort(request.signal, () => {
    // A C server has to be left in its own way.
    if (!isC) connection.stream.abort(abortError(request.signal, "upload"));
  });
  const granted = await askForTransfer(connection, "upload", request);
  if (goesByTree(granted.grant)) {
    await using client = channelClient(connection, granted.grant);
    const { recursive, preserve, resume, checksum, signal, onProgress } = request;
    const options = { recursive, preserve, resume, checksum, signal, onProgress };
    const directory = Buffer.from(".");
    return await client.upload(request.local, directory, baseName(request.remote), options);
  }
  isC = granted.grant === undefined;
  try {
    return await uploadPlainly(connection, granted, request);
  } finally {
    if (isC) await leaveTransfer(connection, new Uint8Array(0));
    else await connection.finish();
  }
}

/** A server that neither reads nor answers for so long is lost, in milliseconds. */
const SILENT_SERVER_MS = DEFAULT_KEEPALIVE_MS * KEEPALIVE_MISSES;

/** The connection after a grant, for the operations of the agent's clients. */
export function channelClient(connection: MessageConnection, grant: TransferGrant): AgentClient {
  const hello = { protocol: PROTOCOL_VERSION, version: "", token: undefined, ...grant };
  return AgentClient.over(new FrameConnection(connection.detach()), hello, {
    timeoutMs: connection.answerTimeoutMs,
  });
}

async function uploadPlainly(
  connection: MessageConnection,
  { protocol, grant }: GrantedTransfer,
  { local, signal, onProgress }: TransferRequest,
): Promise<TransferSummary> {
  const fd = openSync(bytesPath(local), constants.O_RDONLY | constants.O_NONBLOCK);
  const summary = new TransferSummary();
  const stop = new AbortController();
  const isOver = AbortSignal.any([signal, stop.signal]);
  const onSent = (bytes: number) => {
    summary.bytes += bytes;
    onProgress(summary);
  };
  // A C server ends the session at a BEGIN.
  const options = { begin: grant !== undefined, onSent };
  const idle = watchIdle(connection.stream, SILENT_SERVER_MS);
  const sending = sendFile(connection, fd, isOver, options).finally(() => closeSync(fd));
  const interrupted = Promise.withResolvers<never>();
  using _abort = onAbort(signal, () => interrupted.reject(abortError(signal, "upload")));
  try {
    await Promise.race([
      interrupted.promise,
      untilAcknowledged(connection, protocol),
      sending.then(() => new Promise<never>(() => undefined)),
    ]);
  } finally {
    clearInterval(idle);
    stop.abort();
    sending.catch(() => undefined);
    interrupted.promise.catch(() => undefined);
  }
  summary.files = 1;
  return summary;
}

async function untilAcknowledged(
  connection: MessageConnection,
  protocol: GrantedTransfer["protocol"],
): Promise<void> {
  for (;;) {
    const message = await connection.next();
    if (message === undefined) throw shellEndedEarly();
    const event = protocol.accept(message);
    if (event.kind === "acknowledged") return;
    if (event.kind === "over") throw shellEndedEarly();
  }
}
