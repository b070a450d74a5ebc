/** A download in the messages of the C programs. */
import { closeSync, constants, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { Type } from "../protocols/vsock-shell/message.ts";
import type { ServerProtocol, TransferEvent } from "../protocols/vsock-shell/server-protocol.ts";
import { encodeGrant } from "../protocols/vsock-shell/texts.ts";
import type { MessageConnection } from "./message-connection.ts";
import type { DownloadSource } from "./server-path.ts";
import { plainGrant, vanished } from "./plain-file.ts";

const readAsync = promisify(read);

/** Bytes that are read at once, and sent as many messages in one write. */
const BLOCK_BYTES = 256 * 1024;

/**
 * Sends one file, and waits until the client has it.
 *
 * @throws {VsockboxError} what ended the download.
 */
export async function runPlainDownload(
  connection: MessageConnection,
  protocol: ServerProtocol,
  event: TransferEvent,
  { opened, status }: DownloadSource,
): Promise<void> {
  const fd = openSync(opened.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stop = new AbortController();
  const sending = connection
    .send(Type.ReadyReceive, encodeGrant(event.pair, plainGrant(event, status.size)))
    .then(() => sendFile(connection, fd, stop.signal))
    .finally(() => closeSync(fd));
  try {
    // Whatever comes before the acknowledgement ends the download, while it is being sent, too.
    await Promise.race([
      untilAcknowledged(connection, protocol),
      sending.then(() => new Promise<never>(() => undefined)),
    ]);
  } finally {
    stop.abort();
    sending.catch(() => undefined);
  }
}

/** Sends an open file as messages, from its beginning to its end mark. */
export async function sendFile(
  connection: MessageConnection,
  fd: number,
  signal: AbortSignal,
  { begin = true, onSent }: { begin?: boolean; onSent?: (bytes: number) => void } = {},
): Promise<void> {
  if (begin) await connection.send(Type.FileDataBegin);
  const block = new Uint8Array(BLOCK_BYTES);
  while (!signal.aborted) {
    const { bytesRead } = await readAsync(fd, block, 0, block.length, null);
    if (bytesRead === 0) break;
    await connection.sendBytes(Type.FileData, block.subarray(0, bytesRead));
    onSent?.(bytesRead);
  }
  if (!signal.aborted) await connection.send(Type.FileDataEnd);
}

async function untilAcknowledged(
  connection: MessageConnection,
  protocol: ServerProtocol,
): Promise<void> {
  for (;;) {
    const message = await connection.next();
    if (message === undefined) throw vanished("download");
    if (protocol.accept(message).kind === "acknowledged") return;
  }
}
