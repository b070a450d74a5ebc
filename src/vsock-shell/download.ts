/** Downloads, from our server and from the C one. */
import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { fileExistsError, IncomingFile } from "../agent/transfer/incoming-file.ts";
import { ReceivedBytes } from "../agent/transfer/receive-limit.ts";
import { openDestinationDirectory, TransferSummary } from "../agent/transfer/transfer.ts";
import { reasonOf, VsockboxError } from "../errors.ts";
import { baseName, namesDirectory, parentOf, showPath } from "../files/bytes-path.ts";
import { abortError, onAbort } from "../io/deadline.ts";
import { CServerQueue } from "../protocols/vsock-shell/c-server-queue.ts";
import { SHELL_HEADER_BYTES, Type } from "../protocols/vsock-shell/message.ts";
import { leaveTransfer } from "./c-server.ts";
import type { MessageConnection } from "./message-connection.ts";
import { PLAIN_FLAGS, plainFile } from "./plain-file.ts";
import { shellEndedEarly } from "./remote-shell.ts";
import {
  askForTransfer,
  goesByTree,
  type GrantedTransfer,
  type TransferRequest,
} from "./transfer-request.ts";
import { channelClient } from "./upload.ts";

/** A C server that is silent for so long waits to be woken, in milliseconds. */
const STALL_MS = 1000;

/** After so many wakes without an answer nothing more will come. */
const MAX_STALLS = 30;

/**
 * Checks the destination before the server is asked.
 *
 * @throws {VsockboxError} CANNOT_CREATE, USAGE.
 */
export function checkDownload({ local, overwrite, resume }: TransferRequest): void {
  if (namesDirectory(local) || baseName(local).length === 0) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "download to",
      address: showPath(local),
      message: "it is not a file name",
    });
  }
  const mayBeThere = overwrite || resume;
  if (!mayBeThere && lstatSync(local, { throwIfNoEntry: false }) !== undefined) {
    throw fileExistsError(local);
  }
  const parent = parentOf(local);
  try {
    closeSync(openSync(parent, constants.O_RDONLY | constants.O_DIRECTORY));
  } catch (thrown) {
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "open directory",
      address: showPath(parent),
      ...reasonOf(thrown),
      cause: thrown,
    });
  }
}

/**
 * Receives a file or tree.
 *
 * @throws {VsockboxError} what ended the transfer; nothing partial stands under the file's name then.
 */
export async function download(
  connection: MessageConnection,
  request: TransferRequest,
): Promise<TransferSummary> {
  let queue: CServerQueue | undefined;
  using _abort = onAbort(request.signal, () => {
    // A C server has to be left in its own way.
    if (queue === undefined) connection.stream.abort(abortError(request.signal, "download"));
  });
  const granted = await askForTransfer(connection, "download", request);
  request.onSize(granted.grant?.size);
  if (goesByTree(granted.grant)) {
    await using client = channelClient(connection, granted.grant);
    const { recursive, preserve, preserveOwner, resume, checksum, maxBytes } = request;
    const { signal, onProgress } = request;
    const options = {
      ...{ recursive, preserve, preserveOwner, resume, checksum, maxBytes, signal, onProgress },
      exclusive: !request.overwrite,
      sync: true,
    };
    const { remote, local } = request;
    return await client.download(remote, parentOf(local), baseName(local), options);
  }
  if (granted.grant === undefined) queue = new CServerQueue();
  try {
    return await downloadPlainly(connection, granted, request, queue);
  } finally {
    if (queue === undefined) await connection.finish();
    else await leaveTransfer(connection, queue.finish());
  }
}

async function downloadPlainly(
  connection: MessageConnection,
  granted: GrantedTransfer,
  request: TransferRequest,
  queue: CServerQueue | undefined,
): Promise<TransferSummary> {
  using directory = openDestinationDirectory(parentOf(request.local));
  const summary = new TransferSummary();
  const limit = new ReceivedBytes(request.maxBytes);
  const file = new IncomingFile(
    { directory, shown: () => request.local },
    plainFile(baseName(request.local)),
    { ...PLAIN_FLAGS, exclusive: !request.overwrite, sync: true },
  );
  let isComplete = false;
  try {
    await file.begin(0);
    await receive(connection, granted, request, queue, async (bytes) => {
      limit.add(bytes.length);
      await file.write(bytes);
      summary.bytes += bytes.length;
      request.onProgress(summary);
    });
    await file.complete(undefined);
    isComplete = true;
  } finally {
    if (!isComplete) file.abandon(false);
  }
  // A C server does not know the acknowledgement.
  if (queue === undefined) await connection.send(Type.FileDataEndAck);
  summary.files = 1;
  return summary;
}

/** Hands the bytes on until the server's end of file; keeps a C server going. */
async function receive(
  connection: MessageConnection,
  { protocol, answerBytes }: GrantedTransfer,
  { signal }: TransferRequest,
  queue: CServerQueue | undefined,
  onData: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  queue?.count(answerBytes);
  let isOver = false;
  const read = async () => {
    for (;;) {
      const message = await connection.next();
      if (isOver) return;
      if (message === undefined) throw shellEndedEarly();
      stalls.heard();
      queue?.count(SHELL_HEADER_BYTES + message.data.length);
      const event = protocol.accept(message);
      if (event.kind === "end") return;
      if (event.kind === "over") throw shellEndedEarly();
      if (event.kind !== "data") continue;
      await onData(event.bytes);
      const wake = queue?.next();
      // The reader notices a broken connection, after the bytes before it.
      if (wake !== undefined && wake.length > 0) {
        void connection.sendEncoded(wake).catch(() => undefined);
      }
    }
  };
  const stopped = Promise.withResolvers<never>();
  using _abort = onAbort(signal, () => stopped.reject(abortError(signal, "download")));
  using stalls = new StallWatch(connection, queue, (error) => stopped.reject(error));
  try {
    await Promise.race([read(), stopped.promise]);
  } finally {
    isOver = true;
    stopped.promise.catch(() => undefined);
  }
}

/** Wakes a C server that is silent, until disposed. */
class StallWatch implements Disposable {
  readonly #timer: Timer | undefined;
  #isSilent = false;
  #stalls = 0;

  constructor(
    connection: MessageConnection,
    queue: CServerQueue | undefined,
    onLost: (error: VsockboxError) => void,
  ) {
    if (queue === undefined) return;
    this.#timer = setInterval(() => {
      if (!this.#isSilent) {
        this.#isSilent = true;
        return;
      }
      if (++this.#stalls > MAX_STALLS) onLost(lostEnd());
      else connection.sendEncoded(queue.wake()).catch(() => undefined);
    }, STALL_MS);
  }

  /** Something came. */
  heard(): void {
    this.#isSilent = false;
    this.#stalls = 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function lostEnd(): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "download",
    message: "the server stopped sending before the file was complete",
    hint: "vsock-shell's own server can lose a message if several clients use it at once; try again",
  });
}
