/**
 * The library's operations over the frames of matchlock's Go agent. There is no connection that lasts: each
 * command, file and forwarded connection has its own, and `close` ends those that are open.
 */
import { assertWholeFile, downloadOldFile, readLocalFile } from "../agent/client/go-copy.ts";
import { listOldDirectory, readOldFile, writeOldFile } from "../agent/client/go-files.ts";
import { openPortForward } from "../agent/client/go-port-forward.ts";
import { unsupportedByGoAgent } from "../agent/client/go-unsupported.ts";
import type { RemoteEntry } from "../agent/client/file-listing.ts";
import type { TransferOptions } from "../agent/client/file-transfer.ts";
import type { CommandToRun } from "../agent/client/remote-command.ts";
import type { RemoteProcess } from "../agent/client/remote-process.ts";
import { startOnGoAgent } from "../agent/client/start-command.ts";
import { TransferSummary } from "../agent/transfer/transfer.ts";
import { VsockboxError } from "../errors.ts";
import { type BytesPath, bytesPath, joinPath } from "../files/bytes-path.ts";
import { joinConnections } from "../io/join.ts";
import type { ByteSource } from "../io/pump.ts";
import type { SocketStream } from "../io/stream.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import { dial, type DialOptions } from "../net/dial.ts";
import type { ChannelRequest } from "../protocols/agent/channel-requests.ts";
import { goFileKind, READ_FILE_MAX_BYTES, unixMode } from "../protocols/agent/file-messages.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import type { Endpoint } from "../text/endpoint.ts";
import type { AgentLink, GuestListener } from "./agent-link.ts";
import { PendingProcess } from "./pending-process.ts";

/** Mode of a file that is written from bytes. */
const WRITE_MODE = 0o644;

/** An agent that has only the Go agent's frames. */
export class GoLink implements AgentLink {
  readonly protocol = "go";
  readonly version = "unknown: an agent with the Go agent's frames";
  readonly closed: Promise<void>;
  readonly #address: SocketAddress;
  readonly #options: DialOptions;
  readonly #closing = new AbortController();
  readonly #closed = Promise.withResolvers<void>();

  /** @param options for each of the connections. */
  constructor(address: SocketAddress, options: Omit<DialOptions, "signal">) {
    this.#address = address;
    this.#options = { ...options, signal: this.#closing.signal };
    this.closed = this.#closed.promise;
  }

  spawn(command: CommandToRun): RemoteProcess {
    return new PendingProcess((signal) => {
      const target = { address: this.#address, options: { ...this.#options, signal } };
      return startOnGoAgent(target, command, { onWarning: rejectWarning });
    }, this.#closing.signal);
  }

  async *read(path: Uint8Array): AsyncGenerator<Uint8Array> {
    yield await readOldFile(this.#address, this.#options, path);
  }

  async upload(
    source: Uint8Array | ByteSource,
    directory: Uint8Array,
    name: Uint8Array,
    options: TransferOptions = {},
  ): Promise<TransferSummary> {
    assertWholeFile(options);
    const { content, mode } =
      source instanceof Uint8Array
        ? readLocalFile(bytesPath(source))
        : { content: await collect(source), mode: WRITE_MODE };
    const path = joinPath(directory, name);
    await writeOldFile(this.#address, this.#dialing(options), path, content, mode);
    return summaryOf(content.length, options);
  }

  async download(
    remote: Uint8Array,
    directory: BytesPath,
    name: Uint8Array,
    options: TransferOptions = {},
  ): Promise<TransferSummary> {
    assertWholeFile(options);
    const local = joinPath(directory, name);
    const copy = { remote, local, maxBytes: options.maxBytes };
    return summaryOf(await downloadOldFile(this.#address, this.#dialing(options), copy), options);
  }

  async *list(path: Uint8Array): AsyncGenerator<RemoteEntry> {
    const files = await listOldDirectory(this.#address, this.#options, path);
    for (const { name, size, mode, is_dir: isDirectory } of files) {
      const type = isDirectory ? "directory" : goFileKind(mode);
      yield { name: Buffer.from(name), facts: { type, size, mode: unixMode(mode) } };
    }
  }

  watch(): Promise<never> {
    return Promise.reject(unsupportedByGoAgent("watch"));
  }

  request({ op }: ChannelRequest): Promise<JsonObject> {
    return Promise.reject(unsupportedByGoAgent(`perform ${op}`));
  }

  async carry(stream: SocketStream, target: Endpoint): Promise<void> {
    if (target.kind === "unix") {
      throw unsupportedByGoAgent("forward", "a connection to a Unix socket");
    }
    const { timeoutMs } = this.#options;
    const connection = await dial(this.#address, this.#options);
    connection.abortOn(this.#closing.signal);
    const shown = formatAddress(this.#address);
    const forwarded = await openPortForward(connection, shown, target, timeoutMs);
    const reason = await joinConnections(stream, forwarded);
    if (reason !== undefined) throw reason;
    await Promise.all([stream.close(), forwarded.close()]);
  }

  listen(): Promise<GuestListener> {
    return Promise.reject(unsupportedByGoAgent("forward", "a listener in the guest"));
  }

  ping(): Promise<never> {
    return Promise.reject(unsupportedByGoAgent("ping"));
  }

  close(): Promise<void> {
    this.#closing.abort(
      new VsockboxError({ code: "ABORTED", operation: "use agent", message: "it was closed" }),
    );
    this.#closed.resolve();
    return this.closed;
  }

  #dialing({ signal }: TransferOptions): DialOptions {
    if (signal === undefined) return this.#options;
    return { ...this.#options, signal: AbortSignal.any([signal, this.#closing.signal]) };
  }
}

/** A program has no terminal to read a warning from: what may be lost is refused. */
function rejectWarning(message: string): never {
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "run command",
    message,
    errno: "EOPNOTSUPP",
    hint: "run `vsockbox agent` in the guest",
  });
}

/** Collects the content of a file, up to the first byte that the frame could not carry. */
async function collect(source: ByteSource): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > READ_FILE_MAX_BYTES) break;
  }
  return Buffer.concat(chunks);
}

function summaryOf(bytes: number, { onProgress }: TransferOptions): TransferSummary {
  const summary = new TransferSummary();
  summary.files = 1;
  summary.bytes = bytes;
  onProgress?.({ files: 1, bytes });
  return summary;
}
