/** The operations of an agent that the library is made of, independent of the protocol that carries them. */
import type { Pong } from "../agent/client/agent-client.ts";
import type { RemoteEntry } from "../agent/client/file-listing.ts";
import type { TransferOptions } from "../agent/client/file-transfer.ts";
import type { CommandToRun } from "../agent/client/remote-command.ts";
import type { RemoteProcess } from "../agent/client/remote-process.ts";
import type { WatchedPath, FileWatchOptions } from "../agent/client/watched-path.ts";
import type { TransferSummary } from "../agent/transfer/transfer.ts";
import type { BytesPath } from "../files/bytes-path.ts";
import type { ByteSource } from "../io/pump.ts";
import type { SocketStream } from "../io/stream.ts";
import type { ChannelRequest } from "../protocols/agent/channel-requests.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import type { Endpoint } from "../text/endpoint.ts";

/**
 * The protocol of an agent: `channels` of vsockbox, with all requests over one connection, or `go`, the
 * frames of matchlock's Go agent, with a connection for each request.
 */
export type AgentProtocol = "channels" | "go";

/** A listener in the guest. */
export interface GuestListener {
  /** Its address in the guest, with the port that the guest's kernel chose. */
  readonly listening: string;
  close(): void;
}

/** An agent. Requests that its protocol does not have reject with UNAVAILABLE and EOPNOTSUPP. */
export interface AgentLink {
  readonly protocol: AgentProtocol;
  /** Program and version, as far as the agent reports them. */
  readonly version: string;
  /** Resolves when the connection has ended. Never rejects. */
  readonly closed: Promise<void>;
  /** Starts a command. A failed start rejects `exited` of the returned command. */
  spawn(command: CommandToRun): RemoteProcess;
  /** Returns a file's bytes as they come. */
  read(path: Uint8Array): AsyncGenerator<Uint8Array>;
  /** Sends a local file, tree or stream of bytes into a directory of the guest. */
  upload(
    source: Uint8Array | ByteSource,
    directory: Uint8Array,
    name: Uint8Array,
    options?: TransferOptions,
  ): Promise<TransferSummary>;
  /** Copies a file or tree of the guest into a local directory. */
  download(
    remote: Uint8Array,
    directory: BytesPath,
    name: Uint8Array,
    options?: TransferOptions,
  ): Promise<TransferSummary>;
  /** Returns the entries of a directory. */
  list(path: Uint8Array, maxEntries: number): AsyncGenerator<RemoteEntry>;
  /** Watches a path; resolves when the watch is armed. */
  watch(path: Uint8Array, options: FileWatchOptions): Promise<WatchedPath>;
  /** Sends a request and returns its result. */
  request(request: ChannelRequest): Promise<JsonObject>;
  /**
   * Joins a local connection to one inside the guest. Resolves when both directions have ended; rejects
   * if that connection cannot be made, or one of the two was reset.
   */
  carry(stream: SocketStream, target: Endpoint): Promise<void>;
  /**
   * Listens inside the guest. Each connection there is joined to the one that `connect` makes.
   *
   * @param onError called for connections that could not be made or were reset.
   */
  listen(
    endpoint: Endpoint,
    connect: () => Promise<SocketStream>,
    onError: (error: Error) => void,
  ): Promise<GuestListener>;
  /** Measures the round trip and the offset of the agent's clock. */
  ping(): Promise<Pong>;
  /** Closes the connection; the agent ends the commands that still run. */
  close(): Promise<void>;
}
