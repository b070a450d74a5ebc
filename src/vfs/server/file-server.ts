/** An export: listens, and serves files to each guest that connects. */
import { randomBytes } from "node:crypto";
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { countOf } from "../../text/count.ts";
import { formatPeerHost, type Peer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import type { AllowedCids } from "../../net/allow-cid.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { serveVfsConnection } from "./connection.ts";
import type { ExportedFiles, FileSession } from "./file-session.ts";
import { type ConnectionLimits, GuestConnections } from "./guest-connections.ts";
import {
  addCounters,
  type ConnectionCounters,
  newCounters,
  type ServerCounters,
} from "./server-counters.ts";

/** Connections at once, unless the caller wants another limit. */
export const MAX_CONNECTIONS = 64;

/** Those of one guest, likewise: a guest has one for each mount. */
export const MAX_GUEST_CONNECTIONS = 16;

/** Bytes of the random id of a server. */
const SERVER_ID_BYTES = 16;

/** Something that happened to a connection, for the log. */
export type ConnectionEvent =
  | {
      readonly kind: "opened";
      readonly peer: string;
      readonly name: string;
      readonly isGo: boolean;
    }
  | { readonly kind: "closed"; readonly peer: string; readonly error: VsockboxError | undefined }
  | { readonly kind: "refused"; readonly peer: string; readonly reason: string };

/** A connection that is served. */
export interface ServedConnection {
  readonly peer: string;
  /** When it was accepted, of performance.now(), in milliseconds. */
  readonly sinceMs: number;
  readonly counters: Readonly<ConnectionCounters>;
  /** Undefined until the guest has opened an export. */
  opened: { readonly name: string; readonly isGo: boolean; readonly openFiles: number } | undefined;
}

/** Options of {@link FileServer}. */
export interface FileServerOptions {
  /** By their names; the first one is for guests that name none. Closed with the server. */
  readonly exports: ReadonlyMap<string, ExportedFiles>;
  /** Mount point of guests of the Go dialect; undefined: what their first request shows. */
  readonly mountPoint?: string | undefined;
  readonly maxConnections?: number | undefined;
  /** Of one guest: of a CID, or of a Unix socket that guests connect to. */
  readonly maxGuestConnections?: number | undefined;
  readonly onEvent?: ((event: ConnectionEvent) => void) | undefined;
}

function openedBy(name: string, isGo: boolean, session: Pick<FileSession, "openFiles">) {
  return {
    ...{ name, isGo },
    get openFiles() {
      return session.openFiles;
    },
  };
}

/** Returns the guest of a peer: a Unix socket has the guests of its VM, and their CIDs are not known. */
function guestOf(peer: Peer, listening: SocketAddress): string {
  return peer.kind === "vsock" ? formatPeerHost(peer) : formatAddress(listening);
}

/** Serves exports on any number of addresses. */
export class FileServer {
  readonly #options: FileServerOptions;
  readonly #serverId = randomBytes(SERVER_ID_BYTES);
  readonly #streams = new Map<SocketStream, Promise<void>>();
  readonly #served = new Map<SocketStream, ServedConnection>();
  readonly #limits: ConnectionLimits;
  readonly #places: GuestConnections<SocketStream>;
  readonly #listeners: Listener[] = [];
  #closing: Promise<void> | undefined;
  /** Of connections that have ended. */
  readonly #ended: ConnectionCounters = newCounters();
  #connections = 0;

  constructor(options: FileServerOptions) {
    this.#options = options;
    const { maxConnections = MAX_CONNECTIONS, maxGuestConnections = MAX_GUEST_CONNECTIONS } =
      options;
    this.#limits = { most: maxConnections, mostOfGuest: maxGuestConnections };
    this.#places = new GuestConnections(this.#limits, (stream) => this.#replace(stream));
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#streams.size;
  }

  /** The connections that are open. */
  get served(): readonly ServedConnection[] {
    return [...this.#served.values()];
  }

  /** The most connections, of all guests and of one. */
  get limits(): ConnectionLimits {
    return this.#limits;
  }

  /** What all connections have served, as it is now. */
  get counters(): ServerCounters {
    const total = { ...this.#ended, connections: this.#connections };
    for (const { counters } of this.#served.values()) addCounters(total, counters);
    return total;
  }

  /**
   * Accepts guests at an address.
   *
   * @param allowed CIDs that may connect.
   * @returns the address, with its port.
   * @throws {VsockboxError} as `listen`.
   */
  listen(
    address: SocketAddress,
    allowed: AllowedCids,
    onShortage?: (reason: string) => void,
  ): SocketAddress {
    const listener = listen(address, {
      allowed,
      onConnection: (stream) => this.accept(stream, guestOf(stream.peer, listener.address)),
      onRefusal: (peer) => this.#refuse(peer, "not in --allow-cid"),
      onShortage,
    });
    this.#listeners.push(listener);
    return listener.address;
  }

  /**
   * Serves a connected stream to its end, and closes it.
   *
   * @param guest that connects.
   */
  accept(stream: SocketStream, guest: string): void {
    const reached = this.#places.add(stream, guest);
    if (reached !== undefined) {
      const most = countOf(this.#limits[reached], "connection");
      const whose = reached === "mostOfGuest" ? " of one guest" : "";
      this.#refuse(stream.peer, `there may be no more than ${most}${whose}`);
      stream.abort();
      return;
    }
    this.#connections++;
    this.#streams.set(stream, this.#serve(stream));
  }

  /** Ends a connection without an export, whose place another one needs. */
  #replace(stream: SocketStream): void {
    this.#refuse(stream.peer, "others need the connection, and it has not opened an export");
    stream.abort();
  }

  #refuse(peer: Peer, reason: string): void {
    this.#options.onEvent?.({ kind: "refused", peer: formatPeerHost(peer), reason });
  }

  async #serve(stream: SocketStream): Promise<void> {
    const { exports, mountPoint, onEvent } = this.#options;
    const peer = formatPeerHost(stream.peer);
    const counters = newCounters();
    const served: ServedConnection = {
      ...{ peer, sinceMs: performance.now(), counters, opened: undefined },
    };
    this.#served.set(stream, served);
    let error: VsockboxError | undefined;
    try {
      await serveVfsConnection(stream, {
        exports,
        mountPoint,
        serverId: this.#serverId,
        counters,
        onOpen: (name, isGo, session) => {
          served.opened = openedBy(name, isGo, session);
          this.#places.opened(stream);
          onEvent?.({ kind: "opened", peer, name, isGo });
        },
      });
    } catch (thrown) {
      // What the end of this server breaks is not the guest's fault.
      if (this.#closing === undefined) error = toVsockboxError(thrown, "serve");
      stream.abort();
    } finally {
      this.#places.remove(stream);
      this.#streams.delete(stream);
      this.#served.delete(stream);
      addCounters(this.#ended, { ...counters, inFlight: 0 });
    }
    onEvent?.({ kind: "closed", peer, error });
  }

  /** Stops accepting, ends all connections, and closes the exports. Further calls wait for the first one. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const listener of this.#listeners.splice(0)) listener.close();
    const served = [...this.#streams.values()];
    for (const stream of this.#streams.keys()) stream.abort();
    await Promise.allSettled(served);
    for (const files of this.#options.exports.values()) files.close();
  }
}
