/** A connection to one of our agents, for everything that goes beyond the Go agent's frames. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { baseName, type BytesPath, bytesPath } from "../../files/bytes-path.ts";
import type { SocketAddress } from "../../net/address.ts";
import { printable } from "../../text/printable.ts";
import type { ByteSource } from "../../io/pump.ts";
import type { Endpoint } from "../../text/endpoint.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS } from "../../net/dial.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import {
  type ChannelRequest,
  decodeAccepted,
  encodeChannelRequest,
  type TransferFlags,
} from "../../protocols/agent/channel-requests.ts";
import {
  ARGV_FEATURE,
  encodeExecPart,
  type ExecOperation,
  type ExecPart,
  splitExecOperation,
} from "../../protocols/agent/exec-request.ts";
import type { Hello } from "../../protocols/agent/hello.ts";
import { bad, field, type JsonObject, readInteger } from "../../protocols/agent/json-fields.ts";
import type { TerminalSize } from "../../protocols/agent/messages.ts";
import type { Channel } from "../channel/channel.ts";
import { ChannelConnection } from "../channel/channel-connection.ts";
import { CheckedEntries, CheckedMatches } from "./checked-answers.ts";
import { ChannelPipe } from "../channel/channel-pipe.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import { StartError, startFailureOfStatus } from "../../start-error.ts";
import type { OutputPiece, RemoteExit, RemoteProcess } from "./remote-process.ts";
import { assertSandboxSupport } from "./sandbox-support.ts";
import { type AgentDialOptions, performHandshake } from "./handshake.ts";
import { DEFAULT_KEEPALIVE_MS } from "../channel/peer-liveness.ts";
import {
  openDestination,
  type TransferProgress,
  type TransferSummary,
} from "../transfer/transfer.ts";
import { IncomingStream } from "../transfer/incoming-stream.ts";
import { TreeReceiver } from "../transfer/tree-receiver.ts";
import { TreeSender } from "../transfer/tree-sender.ts";

/** How long a connection that is closed may take to send what is queued, in milliseconds. */
const FAREWELL_MS = 2000;

/** A connection that is unused for so long is begun by a ping, in milliseconds. */
const BEGIN_MS = 5000;

/** Options of transfers. */
export interface TransferOptions extends Partial<TransferFlags> {
  recursive?: boolean;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Of a download: nothing that stands here is replaced. */
  exclusive?: boolean;
  /** Of a download: its bytes are on the disk before a file gets its name. */
  sync?: boolean;
  /** Of a download, with `preserve`: owners, as root, and set-ID bits are the guest's, too. */
  preserveOwner?: boolean;
  /** Of a download: most bytes that are received, holes included. */
  maxBytes?: number | undefined;
  /** Fires to end the transfer. */
  signal?: AbortSignal | undefined;
}

/** A forward of a listener in the guest to this side. */
export interface RemoteListener {
  /** Where the guest listens, with the port that its kernel chose. */
  readonly listening: string;
  /** Rejects where the guest's listener or the connection ends. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Answer of {@link AgentClient.ping}. */
export interface Pong {
  roundTripMs: number;
  /** The agent's clock minus ours, in milliseconds, to half a round trip. */
  clockOffsetMs: number;
}

/** A connection with any number of requests side by side. */
export class AgentClient implements AsyncDisposable {
  /** What the agent said of itself. */
  readonly hello: Hello;
  /** Resolves when the connection is gone. Never rejects. */
  readonly closed: Promise<void>;
  readonly #channels: ChannelConnection;
  readonly #listeners = new Map<number, (channel: Channel) => void>();

  private constructor(hello: Hello, channels: (client: AgentClient) => ChannelConnection) {
    this.hello = hello;
    this.#channels = channels(this);
    this.closed = this.#channels.run().catch(() => undefined);
  }

  /**
   * Connects to an agent.
   *
   * @throws {OldAgentError} where the agent knows the Go agent's frames alone.
   * @throws {VsockboxError} UNAVAILABLE, TIMEOUT, REFUSED, as `dial`.
   */
  static async connect(address: SocketAddress, options?: AgentDialOptions): Promise<AgentClient> {
    const { connection, hello } = await performHandshake(address, options);
    const client = AgentClient.over(connection, hello, options);
    client.#beginSoon();
    return client;
  }

  /**
   * Agents close a connection whose session does not begin within half a minute of its Hello; a ping
   * begins it for a program that connects now and asks later.
   */
  #beginSoon(): void {
    const timer = setTimeout(() => {
      this.ping().catch(() => undefined);
    }, BEGIN_MS);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  /**
   * Takes over a connection on which both sides have agreed on channels in another way than by Hello.
   *
   * @param options the time limits for a peer that goes silent.
   */
  static over(
    connection: FrameConnection,
    hello: Hello,
    options: Pick<AgentDialOptions, "timeoutMs" | "keepaliveMs"> = {},
  ): AgentClient {
    const { timeoutMs, keepaliveMs } = options;
    return new AgentClient(
      hello,
      (client) =>
        new ChannelConnection(connection, {
          side: "client",
          peerWindow: hello.window,
          onOpen: (channel, request) => client.#onOpen(channel, request),
          liveness: {
            answerMs: timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
            keepaliveMs: keepaliveMs ?? DEFAULT_KEEPALIVE_MS,
          },
        }),
    );
  }

  #onOpen(channel: Channel, request: JsonObject): void {
    try {
      const { listener } = decodeAccepted(request);
      const handler = this.#listeners.get(listener);
      if (handler === undefined) throw bad("accepted", "nobody here listens for it");
      handler(channel);
    } catch (thrown) {
      channel.fail(toVsockboxError(thrown, "accept"));
    }
  }

  /** Opens a channel for a request. */
  open(request: ChannelRequest, onControl?: (value: JsonObject) => void): Channel {
    return this.#channels.open(encodeChannelRequest(request, this.hello.features), onControl);
  }

  /**
   * Opens a channel for a command, whose vector may be longer than one frame.
   *
   * @throws {StartError} resources (E2BIG) if one argument is longer than a frame.
   * @throws {VsockboxError} UNAVAILABLE if the agent cannot confine the command as asked.
   */
  #openCommand(request: ExecOperation): { channel: Channel; sent: Promise<void> | undefined } {
    assertSandboxSupport(this.hello.features, request.sandbox);
    if (!this.hello.features.includes(ARGV_FEATURE)) {
      return { channel: this.open(request), sent: undefined };
    }
    const { first, parts } = splitExecOperation(request);
    const channel = this.open(first);
    return { channel, sent: parts.length === 0 ? undefined : sendParts(channel, parts) };
  }

  /**
   * Asks and waits for the answer.
   *
   * @throws {VsockboxError} the agent's error.
   */
  async request(request: ChannelRequest): Promise<JsonObject> {
    const channel = this.open(request);
    channel.end();
    return channel.result;
  }

  /**
   * Asks for something that is answered with records.
   *
   * @throws {VsockboxError} the agent's error.
   */
  async *records(request: ChannelRequest): AsyncGenerator<JsonObject, JsonObject> {
    const channel = this.open(request);
    channel.end();
    try {
      for (;;) {
        const item = await channel.next();
        if (item === undefined) break;
        if (item.kind === "record") yield item.value;
      }
      return await channel.result;
    } finally {
      channel.cancel(nobodyReads());
    }
  }

  /**
   * The paths that match a pattern in the guest, each checked against the pattern.
   *
   * @throws {VsockboxError} the agent's error; BAD_DATA for a path that was not asked for.
   */
  async *glob(pattern: Uint8Array): AsyncGenerator<Uint8Array> {
    const matches = new CheckedMatches(pattern);
    for await (const record of this.records({ op: "glob", pattern })) {
      const path = matches.read(record);
      if (path !== undefined) yield path;
    }
  }

  /**
   * The entries of a directory in the guest, each with its checked name.
   *
   * @param maxEntries more are refused.
   * @throws {VsockboxError} the agent's error; BAD_DATA for what is not the name of an entry.
   */
  async *list(
    path: Uint8Array,
    maxEntries?: number,
  ): AsyncGenerator<{ name: Uint8Array; facts: JsonObject }> {
    const entries = new CheckedEntries(path, maxEntries);
    for await (const facts of this.records({ op: "list", path })) {
      yield { name: entries.read(facts), facts };
    }
  }

  /** Starts a command that lives as long as this connection. */
  spawn(request: CommandToRun): RemoteCommand {
    const operation = { op: "exec", detach: false, name: undefined, more: false } as const;
    const { channel, sent } = this.#openCommand({ ...operation, ...request });
    this.#channels.confirm(channel);
    return new RemoteCommand(this, channel, { input: request.input, sent });
  }

  /**
   * Starts a command that outlives this connection.
   *
   * @throws {StartError} if it could not be started.
   * @throws {VsockboxError} BAD_DATA for an id that no agent makes.
   */
  async detach(request: CommandToRun, name: string | undefined): Promise<DetachedCommand> {
    const operation = { op: "exec", detach: true, more: false } as const;
    const { channel, sent } = this.#openCommand({ ...operation, ...request, name });
    await sent;
    channel.end();
    const result = await channel.result;
    throwFailedStart(result);
    return detachedCommandOf(result);
  }

  /** Joins a detached session, or reads its output. */
  attach(
    id: string,
    options: { logs?: boolean; follow?: boolean; offset?: number | undefined; tty?: TerminalSize },
  ): RemoteCommand {
    const { logs = false, follow = false, offset, tty } = options;
    const channel = this.open({ op: logs ? "logs" : "attach", id, follow, offset, tty });
    return new RemoteCommand(this, channel, { input: !logs, sent: undefined });
  }

  /**
   * Sends a file or tree into a directory of the guest.
   *
   * @param name what it is called there; undefined: as here.
   * @throws {VsockboxError} what ended the transfer; errors of single files are in the summary.
   */
  async upload(
    local: Uint8Array | ByteSource,
    directory: Uint8Array,
    name: Uint8Array | undefined,
    options: TransferOptions = {},
  ): Promise<TransferSummary> {
    const flags = transferFlags(options);
    const channel = this.open({ op: "put", path: directory, ...flags });
    return cancellable(channel, options.signal, async () => {
      const sender = new TreeSender(channel, {
        ...flags,
        recursive: options.recursive ?? false,
        onProgress: options.onProgress,
      });
      try {
        if (!(local instanceof Uint8Array)) {
          const sending = sender.sendStream(local, name ?? Buffer.from("stdin"));
          // A source that gives nothing must not hold up the end of a broken transfer.
          await Promise.race([sending, channel.result]);
          await sending;
        } else {
          const path = bytesPath(local);
          await sender.send(path, name ?? baseName(path));
        }
      } catch (thrown) {
        // What the agent said of its end is the better reason.
        if (channel.isClosed) await channel.result;
        throw thrown;
      }
      channel.end();
      const result = await channel.result;
      addReceived(sender.summary, result);
      return sender.summary;
    });
  }

  /**
   * Takes a file or tree of the guest into a local directory.
   *
   * @throws {VsockboxError} as {@link upload}.
   */
  async download(
    remote: Uint8Array,
    directory: BytesPath,
    name: Uint8Array,
    options: TransferOptions = {},
  ): Promise<TransferSummary> {
    const flags = transferFlags(options);
    const recursive = options.recursive ?? false;
    const channel = this.open({ op: "get", path: remote, name, recursive, ...flags });
    return cancellable(channel, options.signal, async () => {
      const { onProgress, exclusive, sync, maxBytes } = options;
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
      await receiver.receive(openDestination(directory), directory);
      await channel.result;
      const { files, directories, errorCount } = receiver.summary;
      if (files + directories + errorCount === 0) throw bad("transfer", "the agent sent nothing");
      return receiver.summary;
    });
  }

  /**
   * Returns a file's bytes as they come; for `cat` and standard output.
   *
   * @throws {VsockboxError} BAD_DATA for anything but one file, with as many bytes as it announces; IO
   * with EFBIG for more than `maxBytes`.
   */
  async *read(remote: Uint8Array, options: TransferOptions = {}): AsyncGenerator<Uint8Array> {
    const flags = { ...transferFlags(options), resume: false, keep: false };
    const name = Buffer.from("file");
    const channel = this.open({ op: "get", path: remote, name, recursive: false, ...flags });
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
      channel.cancel(nobodyReads());
    }
  }

  /**
   * Connects inside the guest.
   *
   * @throws {VsockboxError} UNAVAILABLE with the guest's reason.
   */
  async dial(endpoint: Endpoint): Promise<{ channel: Channel; pipe: ChannelPipe }> {
    const connected = Promise.withResolvers<void>();
    const channel = this.open({ op: "dial", endpoint }, () => connected.resolve());
    channel.result.then(
      () => connected.resolve(),
      (thrown: unknown) => connected.reject(thrown),
    );
    await connected.promise;
    return { channel, pipe: new ChannelPipe(channel) };
  }

  /**
   * Listens inside the guest; each connection there becomes a channel here.
   *
   * @throws {VsockboxError} CANNOT_CREATE with the guest's reason.
   */
  async listen(
    endpoint: Endpoint,
    onConnection: (channel: Channel) => void,
  ): Promise<RemoteListener> {
    const listening = Promise.withResolvers<string>();
    const channel = this.open({ op: "listen", endpoint }, (value) => {
      const where = field(value, "listening");
      listening.resolve(typeof where === "string" ? where : "");
    });
    this.#listeners.set(channel.id, onConnection);
    const ended = channel.result.then(
      // Of no meaning once the address has come.
      () => listening.reject(bad("listen", "the agent ended it without an address")),
      (thrown: unknown) => {
        listening.reject(thrown);
        throw thrown;
      },
    );
    ended.catch(() => undefined);
    return {
      listening: await listening.promise,
      ended,
      close: () => {
        this.#listeners.delete(channel.id);
        channel.cancel(
          new VsockboxError({ code: "ABORTED", operation: "listen", message: "it was closed" }),
        );
      },
    };
  }

  /** Measures the round trip, and how far the agent's clock is off. */
  async ping(): Promise<Pong> {
    const begin = performance.now();
    const sentMs = Date.now();
    const answer = await this.#channels.ping({ sentMs });
    const roundTripMs = performance.now() - begin;
    const received = field(answer, "receivedMs");
    const middle = sentMs + roundTripMs / 2;
    return {
      roundTripMs,
      clockOffsetMs: typeof received === "number" ? received - middle : Number.NaN,
    };
  }

  /** Drops the connection with everything on it. */
  abort(reason: VsockboxError): void {
    this.#channels.abort(reason);
  }

  /** Closes the connection; commands that were not detached are ended by the agent. */
  async close(): Promise<void> {
    // A guest that is stopped takes no farewell.
    const timer = setTimeout(() => this.abort(nobodyReads()), FAREWELL_MS);
    try {
      await this.#channels.close();
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A command to be run. */
export type CommandToRun = Omit<ExecOperation, "op" | "detach" | "name" | "more">;

/** A command that was left running. */
export interface DetachedCommand {
  id: string;
  pid: number | undefined;
}

/** Ids end up in scripts and on terminals. */
const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Reads the result of a detached start.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function detachedCommandOf(result: JsonObject): DetachedCommand {
  const what = "exec result";
  const id = field(result, "id");
  if (typeof id !== "string" || !SESSION_ID.test(id)) throw bad(what, "its id is not an id");
  return { id, pid: readInteger(what, result, "pid", 0x7fff_ffff) };
}

/** Sends the rest of a request. Never rejects: a broken channel is noticed by its reader. */
async function sendParts(channel: Channel, parts: readonly ExecPart[]): Promise<void> {
  try {
    for (const part of parts) await channel.sendRecord(encodeExecPart(part));
  } catch (thrown) {
    if (thrown instanceof StartError) channel.cancel(thrown);
  }
}

/** Agents without typed failures report a failed start as a result. */
function throwFailedStart(result: JsonObject): void {
  const error = field(result, "error");
  if (typeof error !== "string") return;
  const exitCode = readInteger("exec result", result, "exit_code", 0xffff_ffff) ?? 1;
  throw startFailureOfStatus(exitCode, printable(error));
}

/** A command in the guest, on a channel. */
export class RemoteCommand implements RemoteProcess {
  readonly channel: Channel;
  readonly #client: AgentClient;
  /** Resolves when the whole request was sent; undefined if it was at once. */
  readonly #sent: Promise<void> | undefined;
  /** How it ended; rejects where that will never be known. */
  readonly exited: Promise<RemoteExit>;

  get hasBegun(): boolean {
    return this.channel.hasBegun;
  }

  /** The channel's whole result. */
  readonly result: Promise<JsonObject>;

  constructor(
    client: AgentClient,
    channel: Channel,
    { input, sent }: { input: boolean; sent: Promise<void> | undefined },
  ) {
    this.#client = client;
    this.#sent = sent;
    this.channel = channel;
    this.result = channel.result;
    if (!input) this.endInput();
    this.exited = channel.result.then((result) => {
      throwFailedStart(result);
      const signal = field(result, "signal");
      return {
        exitCode: readInteger("exec result", result, "exit_code", 0xffff_ffff) ?? 0,
        signal: typeof signal === "string" ? printable(signal) : undefined,
      };
    });
    this.exited.catch(() => undefined);
  }

  /** Output in the order in which it came, until the command's end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputPiece> {
    for (;;) {
      const item = await this.channel.next();
      if (item === undefined) return;
      if (item.kind !== "data") continue;
      yield { stream: item.stream === Stream.Errors ? "stderr" : "stdout", bytes: item.bytes };
    }
  }

  /** Sends input; resolves when there is room for more. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#sent !== undefined) await this.#sent;
    await this.channel.send(Stream.Input, bytes);
  }

  /** The end of its input. */
  endInput(): void {
    if (this.#sent === undefined) this.channel.end();
    else void this.#sent.then(() => this.channel.end());
  }

  /** Sends a signal; it overtakes input that the command has not read. */
  signal(signal: number): void {
    this.channel.control({ signal });
  }

  /** Tells a terminal's new size. */
  resize({ rows, cols }: TerminalSize): void {
    this.channel.control({ tty: { rows, cols } });
  }

  /** Leaves: a command is ended, a detached session goes on. */
  leave(reason: VsockboxError): void {
    this.channel.cancel(reason);
  }

  /** Closes the whole connection. */
  close(): Promise<void> {
    return this.#client.close();
  }
}

/** The flags of a transfer with their defaults. */
export function transferFlags(options: TransferOptions): TransferFlags {
  const { preserve = false, resume = false, checksum = false, keep = false } = options;
  return { preserve, resume, checksum, keep };
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

/** What the receiver could not write is the sender's to report. */
function addReceived(summary: TransferSummary, result: JsonObject): void {
  const own = summary.errors.length;
  summary.addErrors(result);
  // What the sender left out was noted by both.
  if (own > 0) {
    const seen = new Set(summary.errors.slice(0, own));
    const repeated = summary.errors.slice(own).filter((error) => seen.has(error));
    summary.errors = [...new Set(summary.errors)];
    summary.errorCount -= repeated.length;
  }
  // Only the receiver knows what is there now.
  for (const name of ["files", "bytes", "reused"] as const) {
    summary[name] =
      readInteger("put result", result, name, Number.MAX_SAFE_INTEGER) ?? summary[name];
  }
}

function nobodyReads(): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "read",
    message: "nobody wants the rest",
  });
}
