/** An upload in the messages of the C programs. */
import { IncomingFile } from "../agent/transfer/incoming-file.ts";
import { VsockboxError } from "../errors.ts";
import { joinPath } from "../files/bytes-path.ts";
import { DirectoryHandle } from "../files/directory-handle.ts";
import {
  SHELL_HEADER_BYTES,
  MAX_SHELL_DATA_BYTES,
  Type,
} from "../protocols/vsock-shell/message.ts";
import type { ServerProtocol, TransferEvent } from "../protocols/vsock-shell/server-protocol.ts";
import { encodeGrant } from "../protocols/vsock-shell/texts.ts";
import type { MessageConnection } from "./message-connection.ts";
import type { Destination } from "./server-path.ts";
import { PLAIN_FLAGS, plainFile, plainGrant, vanished } from "./plain-file.ts";
import { Waker } from "./wake-c-client.ts";

/**
 * A C client's queue has 1,000,000 bytes and wraps only if a message ends exactly at its
 * end: the one that does not fit is lost, and no more comes, not even an end.
 */
const C_CLIENT_QUEUE_BYTES = 1_000_000;

/** A full FileData message, in bytes. */
const FULL_MESSAGE_BYTES = SHELL_HEADER_BYTES + MAX_SHELL_DATA_BYTES;

/** A client that does not answer so many wakes at the end of its queue has lost a message. */
const LOST_AFTER_WAKES = 5;

/** Interval of that check, in milliseconds. */
const QUEUE_CHECK_MS = 100;

/**
 * Receives one file.
 *
 * @throws {VsockboxError} what ended the upload; nothing stands under the file's name then.
 */
export async function runPlainUpload(
  connection: MessageConnection,
  protocol: ServerProtocol,
  event: TransferEvent,
  destination: Destination,
): Promise<void> {
  const { directory, shown, name } = destination;
  const file = new IncomingFile(
    {
      directory: DirectoryHandle.borrow(directory.fd),
      shown: () => joinPath(shown, name),
    },
    plainFile(name),
    { ...PLAIN_FLAGS, exclusive: event.extension?.overwrite !== true, sync: true },
  );
  let isComplete = false;
  try {
    await file.begin(0);
    await connection.send(Type.ReadySend, encodeGrant(event.pair, plainGrant(event)));
    await receive(connection, protocol, file, event);
    await file.complete(undefined);
    isComplete = true;
  } finally {
    if (!isComplete) file.abandon(false);
  }
  await connection.send(Type.FileDataEndAck);
}

/** Receives the bytes until the client's end of file. */
async function receive(
  connection: MessageConnection,
  protocol: ServerProtocol,
  file: IncomingFile,
  event: TransferEvent,
): Promise<void> {
  using waker = event.extension === undefined ? new Waker(connection) : undefined;
  // The request was the first in the client's queue.
  let queued = SHELL_HEADER_BYTES + event.pair.length + 1;
  let isOver = false;
  const read = async () => {
    for (;;) {
      const message = await connection.next();
      if (isOver) return;
      if (message === undefined) throw vanished("upload");
      const bytes = SHELL_HEADER_BYTES + message.data.length;
      queued += bytes;
      waker?.heard(bytes);
      const next = protocol.accept(message);
      if (next.kind === "data") await file.write(next.bytes);
      if (next.kind === "end") return;
    }
  };
  const lost = Promise.withResolvers<never>();
  const watch = setInterval(() => {
    const left = C_CLIENT_QUEUE_BYTES - (queued % C_CLIENT_QUEUE_BYTES);
    const isSilent = (waker?.unanswered ?? 0) >= LOST_AFTER_WAKES;
    if (left < FULL_MESSAGE_BYTES && isSilent) lost.reject(queueSpent());
  }, QUEUE_CHECK_MS);
  try {
    await Promise.race([read(), lost.promise]);
  } finally {
    isOver = true;
    clearInterval(watch);
  }
}

function queueSpent(): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "upload",
    message:
      "the client has lost a message: vsock-shell's C client can send files of up to about 990,000 bytes",
    hint: "vsockbox shell-client sends files of any size",
  });
}
