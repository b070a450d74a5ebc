/**
 * The Unix-socket side of a device: host clients that say CONNECT, and sockets of host services that
 * the guest connects to.
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

/** Clients without a line at once; the oldest goes when there are more. */
const MAX_PENDING_LINES = 1024;

/** More than any line has, in bytes. */
const LINE_BYTES = 64;

const NEWLINE = 0x0a;

/** Users who are remembered as logged. */
const MAX_LOGGED_OWNERS = 64;

/** A client that has not said yet what it wants. */
interface WaitingClient {
  /** PacketType. */
  type: PacketType;
  /** Until when it has to, by performance.now(). */
  deadline: number;
}

/** Where a {@link UnixBackend} is. */
export interface UnixBackendOptions {
  udsPath: string;
  /** Where host clients reach seqpacket ports of the guest: a socket of that type. */
  seqpacketPath?: string | undefined;
  /** How long a client may take for its CONNECT line, in milliseconds; undefined: the default. */
  lineTimeoutMs?: number | undefined;
  /** Users besides our own and root whose services the guest may reach. */
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
  /** By descriptor, in the order in which they came. */
  readonly #lines = new Map<number, WaitingClient>();
  readonly #line = new Uint8Array(LINE_BYTES);
  readonly #socketOwners: SocketOwners;
  /** Users of services that were refused, each logged once: the guest decides how often. */
  readonly #refusedOwners = new Set<number>();
  dropped = 0;

  /**
   * Accepts from the first round on.
   *
   * @param acceptClient takes over a client; what is behind its line is still in its descriptor.
   * @param warn says what is wrong with the sockets.
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
    // Most lines are there by now.
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

  /** Takes the line and not a byte more: what follows is the stream's. */
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
      // Neither a record that is no line nor one that is cut by its client's end will become one.
      if (hasEnded || client.type === PacketType.Seqpacket) this.#drop(fd);
      return;
    }
    readDescriptor(fd, line);
    this.#forget(fd);
    const onOpened = (hostPort: number) => void writeDescriptor(fd, encodeOk(hostPort));
    if (!this.#acceptClient({ fd, port, type: client.type, onOpened })) closeDescriptor(fd);
  }

  /** Connects to the host's service for a port, which has to be a socket of the same type. */
  dial(port: number, type: PacketType, answer: (fd: number | undefined) => void): void {
    const address = `${this.#path}_${port}`;
    let sockaddr: Uint8Array;
    try {
      sockaddr = encodeSockaddrUn(address);
    } catch {
      // A path that is too long for a socket: nobody can listen there.
      return answer(undefined);
    }
    const socketType = type === PacketType.Seqpacket ? SOCK_SEQPACKET : SOCK_STREAM;
    this.#connects.start({ family: AF_UNIX, socketType, sockaddr, address }, answer);
  }

  /** Another user who may write to the directory could listen in place of the service. */
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

  /** Drops clients that never say what they want. */
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
