/**
 * The host's side of a device over Unix sockets: clients that connect and send `CONNECT PORT`, and
 * services at PATH_PORT that the guest reaches.
 */
import { VM_DEFAULTS } from "../config/vm-config.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { peekDescriptor } from "../../ffi/receive.ts";
import { AF_UNIX, encodeSockaddrUn } from "../../ffi/sockaddr.ts";
import {
  closeDescriptor,
  readDescriptor,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  writeDescriptor,
} from "../../ffi/socket.ts";
import type { UnixListener } from "../../net/listen.ts";
import { type SocketOwners, untrustedOwner } from "../../net/socket-owner.ts";
import { ConnectLineReader, encodeOk } from "../../protocols/hybrid/connect-line.ts";
import { PacketType } from "../../protocols/virtio-vsock/packet.ts";
import { Acceptor } from "../../io/acceptor.ts";
import type { ListenerSource } from "./listening-sockets.ts";
import { PendingConnects } from "./pending-connects.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import type { HostBackend, AcceptClient } from "./host-backend.ts";

/** Limit of clients without a complete line; the oldest of more is closed. */
const MAX_PENDING_LINES = 1024;

/** Longer than any line, in bytes. */
const LINE_BYTES = 64;

const NEWLINE = 0x0a;

/** Limit of users that are remembered as logged. */
const MAX_LOGGED_OWNERS = 64;

/** A client without a complete CONNECT line. */
interface WaitingClient {
  type: PacketType;
  /** Time until which it has to send the line, by performance.now(). */
  deadline: number;
}

/** Options of {@link UnixBackend}. */
export interface UnixBackendOptions {
  /** The socket for clients, and the prefix of the services' paths. */
  udsPath: string;
  /** A SOCK_SEQPACKET socket for clients of the guest's seqpacket ports. */
  seqpacketPath?: string | undefined;
  /** Timeout of the CONNECT line; undefined: the default. */
  lineTimeoutMs?: number | undefined;
  /** Users besides this process's own and root whose services the guest may reach. */
  socketOwners?: SocketOwners | undefined;
}

/** Host clients and host services of one VM. */
export class UnixBackend implements HostBackend {
  readonly #loop: EventLoop;
  readonly #path: string;
  readonly #lineTimeoutMs: number;
  readonly #listeners: UnixListener[] = [];
  readonly #acceptors: Acceptor[] = [];
  readonly #warn: (message: string) => void;
  readonly #acceptClient: AcceptClient;
  readonly #connects: PendingConnects;
  /** By descriptor, in the order of their deadlines. */
  readonly #lines = new Map<number, WaitingClient>();
  readonly #line = new Uint8Array(LINE_BYTES);
  readonly #socketOwners: SocketOwners;
  /** Users whose services were refused: each is logged once, since the guest may cause it often. */
  readonly #refusedOwners = new Set<number>();
  dropped = 0;

  /**
   * Accepts from the first round of the loop on.
   *
   * @param acceptClient receives a client; the bytes that follow its line are still unread.
   * @param warn reports faults of the sockets.
   */
  constructor(
    loop: EventLoop,
    { udsPath, seqpacketPath, lineTimeoutMs, socketOwners = [] }: UnixBackendOptions,
    listeners: ListenerSource,
    acceptClient: AcceptClient,
    warn: (message: string) => void,
  ) {
    this.#warn = warn;
    this.#loop = loop;
    this.#path = udsPath;
    this.#lineTimeoutMs = lineTimeoutMs ?? VM_DEFAULTS.lineTimeoutMs;
    this.#acceptClient = acceptClient;
    this.#socketOwners = socketOwners;
    this.#connects = new PendingConnects(loop, (fd, { address }) =>
      this.#acceptsService(fd, address),
    );
    this.#listen(listeners.unix(udsPath), PacketType.Stream);
    if (seqpacketPath !== undefined) {
      this.#listen(listeners.unix(seqpacketPath), PacketType.Seqpacket);
    }
  }

  #listen(listener: UnixListener, type: PacketType): void {
    const { fd, path } = listener;
    this.#listeners.push(listener);
    const onAccept = (client: number) => this.#onAccept(client, type);
    const options = { fd, address: path, onAccept, warn: this.#warn };
    this.#acceptors.push(new Acceptor(this.#loop, options));
  }

  #onAccept(fd: number, type: PacketType): void {
    this.#lines.set(fd, { type, deadline: performance.now() + this.#lineTimeoutMs });
    if (this.#lines.size > MAX_PENDING_LINES) this.#dropOldest();
    // Most clients have sent their line by now.
    this.#onLine(fd, false);
    if (!this.#lines.has(fd)) return;
    this.#loop.add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, (events) => {
      this.#onLine(fd, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0);
    });
  }

  #dropOldest(): void {
    const [oldest] = this.#lines.keys();
    if (oldest !== undefined) this.#drop(oldest);
  }

  #drop(fd: number): void {
    this.dropped++;
    this.#forget(fd);
    closeDescriptor(fd);
  }

  #forget(fd: number): void {
    this.#lines.delete(fd);
    this.#loop.remove(fd);
  }

  /** Reads the line and not a byte more: the bytes that follow belong to the stream. */
  #onLine(fd: number, hasEnded: boolean): void {
    const client = this.#lines.get(fd);
    if (client === undefined) return;
    const count = peekDescriptor(fd, this.#line);
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) return;
    if (count <= 0) return this.#drop(fd);
    const end = this.#line.subarray(0, count).indexOf(NEWLINE);
    const line = this.#line.subarray(0, end === -1 ? count : end + 1);
    let port: number | undefined;
    try {
      port = new ConnectLineReader().push(line)?.port;
    } catch {
      return this.#drop(fd);
    }
    if (port === undefined) {
      // Neither a record that is not a line nor one that is cut by end of input can become one.
      if (hasEnded || client.type === PacketType.Seqpacket) this.#drop(fd);
      return;
    }
    readDescriptor(fd, line);
    this.#forget(fd);
    const onOpened = (hostPort: number) => void writeDescriptor(fd, encodeOk(hostPort));
    if (!this.#acceptClient({ fd, port, type: client.type, onOpened })) closeDescriptor(fd);
  }

  /** Connects to the host's service for a port, which has to be a socket of the same type. */
  dial(port: number, type: PacketType, onDialled: (fd: number | undefined) => void): void {
    const address = `${this.#path}_${port}`;
    let sockaddr: Uint8Array;
    try {
      sockaddr = encodeSockaddrUn(address);
    } catch {
      // The path is too long for a socket, so no service listens there.
      return onDialled(undefined);
    }
    const socketType = type === PacketType.Seqpacket ? SOCK_SEQPACKET : SOCK_STREAM;
    this.#connects.start({ family: AF_UNIX, socketType, sockaddr, address }, onDialled);
  }

  /** Refuses services of other users, which may have write permission in the directory. */
  #acceptsService(fd: number, address: string): boolean {
    const uid = untrustedOwner(fd, this.#socketOwners);
    if (uid === undefined) return true;
    if (!this.#refusedOwners.has(uid) && this.#refusedOwners.size < MAX_LOGGED_OWNERS) {
      this.#refusedOwners.add(uid);
      this.#warn(
        `refused the service at ${address}: user ${uid} listens there; --allow-socket-owner ${uid} allows it`,
      );
    }
    return false;
  }

  /** Closes clients that have not sent their line in time. */
  onTime(now: number): void {
    for (const acceptor of this.#acceptors) acceptor.onTime(now);
    this.#connects.onTime(now);
    if (this.#lines.size === 0) return;
    for (const [fd, { deadline }] of this.#lines) {
      if (deadline > now) return;
      this.#drop(fd);
    }
  }

  get pending(): number {
    return this.#lines.size + this.#connects.count;
  }

  close(): void {
    this.#connects.close();
    for (const fd of this.#lines.keys()) this.#drop(fd);
    for (const acceptor of this.#acceptors) acceptor.close();
    for (const { fd, removeFile } of this.#listeners) {
      closeDescriptor(fd);
      removeFile();
    }
  }
}
