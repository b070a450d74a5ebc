/** The host's end of file transfers: upload, download, and reading a file as a stream of bytes. */
import { toVsockboxError } from "../../errors.ts";
import { baseName, type BytesPath, bytesPath } from "../../files/bytes-path.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import type { ByteSource } from "../../io/pump.ts";
import type { TransferFlags } from "../../protocols/agent/channel-requests.ts";
import { badField, type JsonObject, integerField } from "../../protocols/agent/json-fields.ts";
import type { Channel } from "../channel/channel.ts";
import { IncomingStream } from "../transfer/incoming-stream.ts";
import {
  openDestinationDirectory,
  type TransferProgress,
  type TransferSummary,
} from "../transfer/transfer.ts";
import { TreeReceiver } from "../transfer/tree-receiver.ts";
import { TreeSender } from "../transfer/tree-sender.ts";
import { type ChannelOpener, readerStopped } from "./channel-opener.ts";

/** Options of transfers. */
export interface TransferOptions extends Partial<TransferFlags> {
  recursive?: boolean;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Of a download: an existing file is not replaced. */
  exclusive?: boolean;
  /** Of a download: the bytes are synchronised to the disk before a file gets its name. */
  sync?: boolean;
  /** Of a download, with `preserve`: owners, as root, and set-ID bits are the guest's, too. */
  preserveOwner?: boolean;
  /** Of a download: limit of the received bytes, holes included. */
  maxBytes?: number | undefined;
  /** Fires to end the transfer. */
  signal?: AbortSignal | undefined;
}

/** Options of {@link uploadFiles}. */
export interface UploadOptions extends TransferOptions {
  /** Whether an entry of a tree is sent, by its path from there: see `TreeSenderOptions`. */
  selects?: ((path: BytesPath) => boolean) | undefined;
}

/** Destination of an upload: a name in an existing directory of the guest. */
export interface UploadDestination {
  directory: Uint8Array;
  /** Undefined: the name of the source. */
  name: Uint8Array | undefined;
}

/** Destination of a download: a name in an existing local directory. */
export interface DownloadDestination {
  directory: BytesPath;
  name: Uint8Array;
}

/** Returns the flags of a transfer with their defaults. */
export function transferFlags(options: TransferOptions): TransferFlags {
  const { preserve = false, resume = false, checksum = false, keep = false } = options;
  return { preserve, resume, checksum, keep };
}

/**
 * Sends a local file, tree or stream of bytes into a directory of the guest.
 *
 * @throws {VsockboxError} an error that ends the transfer; errors of single files are in the summary.
 */
export async function uploadFiles(
  opener: ChannelOpener,
  source: Uint8Array | ByteSource,
  { directory, name }: UploadDestination,
  options: UploadOptions,
): Promise<TransferSummary> {
  const flags = transferFlags(options);
  const channel = opener.open({ op: "put", path: directory, ...flags });
  return cancellable(channel, options.signal, async () => {
    const { recursive = false, onProgress, selects } = options;
    const sender = new TreeSender(channel, { ...flags, recursive, onProgress, selects });
    try {
      await sendSource(sender, channel, source, name);
    } catch (thrown) {
      // The agent's error is more specific.
      if (channel.isClosed) await channel.result;
      throw thrown;
    }
    channel.end();
    addReceiverSummary(sender.summary, await channel.result);
    return sender.summary;
  });
}

async function sendSource(
  sender: TreeSender,
  channel: Channel,
  source: Uint8Array | ByteSource,
  name: Uint8Array | undefined,
): Promise<void> {
  if (source instanceof Uint8Array) {
    const path = bytesPath(source);
    return sender.send(path, name ?? baseName(path));
  }
  const sending = sender.sendStream(source, name ?? Buffer.from("stdin"));
  // A source that produces no bytes must not delay the error of a broken transfer.
  await Promise.race([sending, channel.result]);
  await sending;
}

/** Completes the sender's summary with that of the receiver. */
export function addReceiverSummary(summary: TransferSummary, result: JsonObject): void {
  // The receiver has noted the entries that the sender has skipped, too.
  const own = new Set(summary.errors.map(({ message }) => message));
  summary.addReported(result, (text) => !own.has(text));
  // Only the receiver knows which files are complete.
  for (const name of ["files", "bytes", "reused"] as const) {
    summary[name] =
      integerField("put result", result, name, Number.MAX_SAFE_INTEGER) ?? summary[name];
  }
}

/**
 * Copies a file or tree of the guest into a local directory.
 *
 * @throws {VsockboxError} as {@link uploadFiles}.
 */
export async function downloadFiles(
  opener: ChannelOpener,
  remote: Uint8Array,
  { directory, name }: DownloadDestination,
  options: TransferOptions,
): Promise<TransferSummary> {
  const flags = transferFlags(options);
  const { recursive = false, onProgress, exclusive, sync, maxBytes } = options;
  const channel = opener.open({ op: "get", path: remote, name, recursive, ...flags });
  return cancellable(channel, options.signal, async () => {
    const receiver = new TreeReceiver(channel, {
      ...flags,
      recursive,
      exclusive,
      sync,
      maxBytes,
      trustsOwner: options.preserveOwner ?? false,
      expected: name,
      onProgress,
    });
    await receiver.receive(openDestinationDirectory(directory), directory);
    await channel.result;
    const { files, directories, errorCount } = receiver.summary;
    if (files + directories + errorCount === 0)
      throw badField("transfer", "the agent sent nothing");
    return receiver.summary;
  });
}

/**
 * Returns a file's bytes as they come; for `cat` and standard output.
 *
 * @throws {VsockboxError} BAD_DATA for anything but one file with its announced number of bytes; IO with
 * EFBIG for more than `maxBytes`.
 */
export async function* readRemoteFile(
  opener: ChannelOpener,
  remote: Uint8Array,
  options: TransferOptions,
): AsyncGenerator<Uint8Array> {
  const flags = { ...transferFlags(options), resume: false, keep: false };
  const name = Buffer.from("file");
  const channel = opener.open({ op: "get", path: remote, name, recursive: false, ...flags });
  const stream = new IncomingStream(options.maxBytes, flags.checksum);
  try {
    for (;;) {
      const item = await channel.next();
      if (item === undefined) break;
      yield* stream.accept(item);
    }
    await channel.result;
    stream.assertEnded();
  } finally {
    channel.cancel(readerStopped());
  }
}

async function cancellable<T>(
  channel: Channel,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  using _abort = onAbort(signal, () => {
    if (signal !== undefined) channel.cancel(abortError(signal, "copy"));
  });
  try {
    return await work();
  } catch (thrown) {
    channel.fail(toVsockboxError(thrown, "copy"));
    throw thrown;
  }
}
