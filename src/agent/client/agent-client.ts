/**
 * A connection to a vsockbox agent, with any number of requests at once. Each request is a channel:
 *
 *   commands      `remote-command.ts`
 *   files         `file-transfer.ts` (upload, download), `file-listing.ts` (list, glob),
 *                 `watched-path.ts` (watch)
 *   connections   `guest-connections.ts` (dial and listen inside the guest)
 *   the rest      `channel-opener.ts` (a request and its result or records)
 *
 * Agents that know only the Go agent's frames are served by `go-*.ts` instead.
 */
import type { VsockboxError } from "../../errors.ts";
import type { BytesPath } from "../../files/bytes-path.ts";
import type { ByteSource } from "../../io/pump.ts";
import type { SocketAddress } from "../../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS } from "../../net/dial.ts";
import {
  type ChannelRequest,
  encodeChannelRequest,
} from "../../protocols/agent/channel-requests.ts";
import type { Hello } from "../../protocols/agent/hello.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import type { TerminalSize } from "../../protocols/agent/messages.ts";
import type { Endpoint } from "../../text/endpoint.ts";
import type { Channel } from "../channel/channel.ts";
import { ChannelConnection } from "../channel/channel-connection.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import { DEFAULT_KEEPALIVE_MS } from "../channel/peer-liveness.ts";
import type { TransferSummary } from "../transfer/transfer.ts";
import {
  type ChannelOpener,
  readerStopped,
  requestRecords,
  requestResult,
} from "./channel-opener.ts";
import type { RemoteEntry } from "./file-listing.ts";
import type { TransferOptions, UploadOptions } from "./file-transfer.ts";
import {
  dialInGuest,
  type GuestConnection,
  type RemoteListener,
  RemoteListeners,
} from "./guest-connections.ts";
import { type AgentDialOptions, performHandshake } from "./handshake.ts";
import {
  type CommandToRun,
  type DetachedCommand,
  detachedCommandOf,
  openCommand,
  RemoteCommand,
} from "./remote-command.ts";
import type { WatchedPath, FileWatchOptions } from "./watched-path.ts";

/** Time limit for sending the queued frames before a close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;

/** A connection without a request for this time sends a ping, which begins its session, in milliseconds. */
const FIRST_PING_MS = 5000;

/** Answer of {@link AgentClient.ping}. */
export interface Pong {
  roundTripMs: number;
  /** The agent's clock minus this side's, in milliseconds, accurate to half a round trip. */
  clockOffsetMs: number;
}

/** Options of {@link AgentClient.attach}. */
export interface AttachOptions {
  /** Offset of the first byte of output; undefined: the oldest one that is kept. */
  offset?: number | undefined;
  /** Passes the end of this side's input on; without it the session's input stays open. */
  halfClose?: boolean;
  /** New size of its terminal. */
  tty?: TerminalSize;
}

/** A connection to an agent. */
export class AgentClient implements ChannelOpener, AsyncDisposable {
  /** The agent's Hello. */
  readonly hello: Hello;
  /** Resolves when the connection has ended. Never rejects. */
  readonly closed: Promise<void>;
  readonly #channels: ChannelConnection;
  readonly #listeners: RemoteListeners;

  private constructor(hello: Hello, channels: ChannelConnection, listeners: RemoteListeners) {
    this.hello = hello;
    this.#channels = channels;
    this.#listeners = listeners;
    this.closed = channels.run().catch(() => undefined);
  }

  /**
   * Connects to an agent.
   *
   * @throws {OldAgentError} if the agent knows only the Go agent's frames.
   * @throws {VsockboxError} UNAVAILABLE, TIMEOUT, REFUSED, as `dial`.
   */
  static async connect(address: SocketAddress, options?: AgentDialOptions): Promise<AgentClient> {
    const { connection, hello } = await performHandshake(address, options);
    const client = AgentClient.over(connection, hello, options);
    client.#pingUnlessUsed();
    return client;
  }

  /**
   * Begins the session of a program that connects now and sends requests later: agents close a
   * connection whose session does not begin within half a minute of its Hello.
   */
  #pingUnlessUsed(): void {
    const timer = setTimeout(() => {
      this.ping().catch(() => undefined);
    }, FIRST_PING_MS);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  /**
   * Uses a connection on which both sides have agreed on channels in another way than by Hello.
   *
   * @param options the time limits for a peer that is silent.
   */
  static over(
    connection: FrameConnection,
    hello: Hello,
    options: Pick<AgentDialOptions, "timeoutMs" | "keepaliveMs"> = {},
  ): AgentClient {
    const { timeoutMs, keepaliveMs } = options;
    const listeners = new RemoteListeners();
    const channels = new ChannelConnection(connection, {
      side: "client",
      peerWindow: hello.window,
      onOpen: (channel, request) => listeners.accept(channel, request),
      liveness: {
        answerMs: timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
        keepaliveMs: keepaliveMs ?? DEFAULT_KEEPALIVE_MS,
      },
    });
    return new AgentClient(hello, channels, listeners);
  }

  /** Opens a channel for a request. */
  open(request: ChannelRequest, onControl?: (value: JsonObject) => void): Channel {
    return this.#channels.open(encodeChannelRequest(request, this.hello.features), onControl);
  }

  /**
   * Sends a request and returns its result.
   *
   * @throws {VsockboxError} the agent's error.
   */
  request(request: ChannelRequest): Promise<JsonObject> {
    return requestResult(this, request);
  }

  /**
   * Sends a request that is answered with records.
   *
   * @throws {VsockboxError} the agent's error.
   */
  records(request: ChannelRequest): AsyncGenerator<JsonObject, JsonObject> {
    return requestRecords(this, request);
  }

  /** Returns the paths that match a pattern in the guest: see {@link matchPaths}. */
  async *glob(pattern: Uint8Array): AsyncGenerator<Uint8Array> {
    const { matchPaths } = await import("./file-listing.ts");
    yield* matchPaths(this, pattern);
  }

  /** Returns the entries of a directory in the guest: see {@link listEntries}. */
  async *list(path: Uint8Array, maxEntries?: number): AsyncGenerator<RemoteEntry> {
    const { listEntries } = await import("./file-listing.ts");
    yield* listEntries(this, path, maxEntries);
  }

  /** Watches a path of the guest: see {@link WatchedPath.open}. */
  async watch(path: Uint8Array, options?: FileWatchOptions): Promise<WatchedPath> {
    const { WatchedPath: Watched } = await import("./watched-path.ts");
    return Watched.open(this, path, options);
  }

  /**
   * Starts a command that lives as long as this connection.
   *
   * @throws {StartError} resources (E2BIG) if one argument is longer than a frame.
   * @throws {VsockboxError} UNAVAILABLE if the agent cannot confine the command as requested.
   */
  spawn(request: CommandToRun): RemoteCommand {
    const operation = { op: "exec", detach: false, name: undefined, more: false } as const;
    const opened = openCommand(this, this.hello.features, { ...operation, ...request });
    this.#channels.confirm(opened.channel);
    return new RemoteCommand({ ...opened, input: request.input, close: () => this.close() });
  }

  /**
   * Starts a command that outlives this connection.
   *
   * @throws {StartError} if it could not be started.
   * @throws {VsockboxError} BAD_DATA for an invalid id.
   */
  async detach(request: CommandToRun, name: string | undefined): Promise<DetachedCommand> {
    const operation = { op: "exec", detach: true, more: false } as const;
    const { channel, sent } = openCommand(this, this.hello.features, {
      ...operation,
      ...request,
      name,
    });
    await sent;
    channel.end();
    return detachedCommandOf(await channel.result);
  }

  /** Attaches to a detached session. */
  attach(id: string, options: AttachOptions): RemoteCommand {
    const { halfClose = false, offset, tty } = options;
    const channel = this.open({ op: "attach", id, halfClose, offset, tty });
    return new RemoteCommand({ channel, sent: undefined, input: true, close: () => this.close() });
  }

  /**
   * Sends a local file, tree or stream of bytes into a directory of the guest.
   *
   * @param name undefined: the name of the source.
   * @throws {VsockboxError} as {@link uploadFiles}.
   */
  async upload(
    source: Uint8Array | ByteSource,
    directory: Uint8Array,
    name: Uint8Array | undefined,
    options: UploadOptions = {},
  ): Promise<TransferSummary> {
    // Loaded only here: a command that copies nothing starts without it.
    const { uploadFiles } = await import("./file-transfer.ts");
    return uploadFiles(this, source, { directory, name }, options);
  }

  /**
   * Copies a file or tree of the guest into a local directory.
   *
   * @throws {VsockboxError} as {@link downloadFiles}.
   */
  async download(
    remote: Uint8Array,
    directory: BytesPath,
    name: Uint8Array,
    options: TransferOptions = {},
  ): Promise<TransferSummary> {
    const { downloadFiles } = await import("./file-transfer.ts");
    return downloadFiles(this, remote, { directory, name }, options);
  }

  /** Returns a file's bytes as they come: see {@link readRemoteFile}. */
  async *read(remote: Uint8Array, options: TransferOptions = {}): AsyncGenerator<Uint8Array> {
    const { readRemoteFile } = await import("./file-transfer.ts");
    yield* readRemoteFile(this, remote, options);
  }

  /**
   * Connects to an endpoint inside the guest.
   *
   * @throws {VsockboxError} UNAVAILABLE with the guest's reason.
   */
  dial(endpoint: Endpoint): Promise<GuestConnection> {
    return dialInGuest(this, endpoint);
  }

  /**
   * Listens inside the guest; each connection there becomes a channel on this side.
   *
   * @throws {VsockboxError} CANNOT_CREATE with the guest's reason.
   */
  listen(endpoint: Endpoint, onConnection: (channel: Channel) => void): Promise<RemoteListener> {
    return this.#listeners.listen(this, endpoint, onConnection);
  }

  /** Measures the round trip and the offset of the agent's clock. */
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

  /** Closes the connection at once; all requests on it fail with `reason`. */
  abort(reason: VsockboxError): void {
    this.#channels.abort(reason);
  }

  /** Closes the connection; the agent ends commands that were not detached. */
  async close(): Promise<void> {
    // A guest that is stopped does not read the queued frames.
    const timer = setTimeout(() => this.abort(readerStopped()), CLOSE_TIMEOUT_MS);
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
