/** The host's end of file transfers: upload, download, and reading a file as a stream of bytes. */
import { toVsockboxError } from "../../errors.ts";
import { baseName, type BytesPath, bytesPath } from "../../files/bytes-path.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import type { ByteSource } from "../../io/pump.ts";
import type { TransferFlags } from "../../protocols/agent/channel-requests.ts";
import { badField, type JsonObject, integerField } from "../../protocols/agent/json-fields.ts";
import type { TreeRecord } from "../../protocols/agent/tree-records.ts";
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
  /** Called for each record that was sent. */
  onRecord?: ((record: TreeRecord) => void) | undefined;
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
  using upload = new Upload(opener, directory, options);
  try {
    await upload.send(source, name);
    return await upload.finish();
  } catch (thrown) {
    upload.fail(thrown);
    throw thrown;
  }
}

/** An upload of any number of sources into one directory, on one channel: no round trip for each. */
export class Upload implements Disposable {
  readonly #channel: Channel;
  readonly #sender: TreeSender;
  readonly #watch: Disposable;

  /** @param options as those of {@link uploadFiles}. */
  constructor(opener: ChannelOpener, directory: Uint8Array, options: UploadOptions) {
    const flags = transferFlags(options);
    const { recursive = false, onProgress, onRecord, selects, signal } = options;
    const channel = opener.open({ op: "put", path: directory, ...flags });
    this.#channel = channel;
    const reports = { onProgress, onRecord };
    this.#sender = new TreeSender(channel, { ...flags, recursive, ...reports, selects });
    this.#watch = onAbort(signal, () => {
      if (signal !== undefined) channel.cancel(abortError(signal, "copy"));
    });
  }

  /**
   * Sends a source; resolves before the guest has written it.
   *
   * @param name undefined: the name of the source.
   * @throws {VsockboxError} the agent's error, or an error of the source, after which others can be sent if
   * {@link isOpen} is still true.
   */
  async send(source: Uint8Array | ByteSource, name: Uint8Array | undefined): Promise<void> {
    try {
      await sendSource(this.#sender, this.#channel, source, name);
    } catch (thrown) {
      // The agent's error is more specific.
      if (this.#channel.isClosed) await this.#channel.result;
      throw thrown;
    }
  }

  /** Whether another source can be sent. */
  get isOpen(): boolean {
    return !this.#channel.isClosed && this.#sender.isBetweenSources;
  }

  /**
   * Waits until the guest has written everything.
   *
   * @throws {VsockboxError} the agent's error; errors of single files are in the summary.
   */
  async finish(): Promise<TransferSummary> {
    this.#channel.end();
    addReceiverSummary(this.#sender.summary, await this.#channel.result);
    return this.#sender.summary;
  }

  /** Ends an upload that has failed. */
  fail(thrown: unknown): void {
    this.#channel.fail(toVsockboxError(thrown, "copy"));
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
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
  return receiveFiles(openDownload(opener, remote, name, options), { directory, name }, options);
}

/** Asks for a file or tree of the guest, which {@link receiveFiles} then receives. */
export function openDownload(
  opener: ChannelOpener,
  remote: Uint8Array,
  name: Uint8Array,
  options: TransferOptions,
): Channel {
  const { recursive = false } = options;
  return opener.open({ op: "get", path: remote, name, recursive, ...transferFlags(options) });
}

/**
 * Receives what {@link openDownload} has asked for, with the same options.
 *
 * @throws {VsockboxError} as {@link uploadFiles}.
 */
export function receiveFiles(
  channel: Channel,
  { directory, name }: DownloadDestination,
  options: TransferOptions & Pick<UploadOptions, "onRecord">,
): Promise<TransferSummary> {
  const { recursive = false, onProgress, onRecord, exclusive, sync, maxBytes } = options;
  return cancellable(channel, options.signal, async () => {
    const receiver = new TreeReceiver(channel, {
      ...transferFlags(options),
      recursive,
      exclusive,
      sync,
      maxBytes,
      trustsOwner: options.preserveOwner ?? false,
      expected: name,
      onProgress,
      onRecord,
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
