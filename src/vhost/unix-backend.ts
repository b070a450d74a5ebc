/**
 * The Unix-socket side of a device: host clients that say CONNECT, and sockets of host services that
 * the guest connects to.
 */
import { ERRNO } from "../ffi/errno.ts";
import { EPOLLET, EPOLLIN, EPOLLRDHUP } from "../ffi/epoll.ts";
import { peekDescriptor } from "../ffi/receive.ts";
import { AF_UNIX, encodeSockaddrUn } from "../ffi/sockaddr.ts";
import {
  acceptSocket,
  closeDescriptor,
  openSocket,
  readDescriptor,
  SOCK_STREAM,
  startConnect,
} from "../ffi/socket.ts";
import { openUnixListener, type UnixListener } from "../net/listen.ts";
import { ConnectLineReader } from "../protocols/hybrid/connect-line.ts";
import type { EventLoop } from "./event-loop.ts";

/** A client may take so long for its CONNECT line, in milliseconds. */
const LINE_TIMEOUT_MS = 10_000;

/** Clients without a line at once; the oldest goes when there are more. */
const MAX_PENDING_LINES = 1024;

/** More than any line has, in bytes. */
const LINE_BYTES = 64;

/** Host clients and host services of one VM. */
export class UnixBackend {
  readonly #loop: EventLoop;
  readonly #path: string;
  readonly #listener: UnixListener;
  readonly #onClient: (fd: number, port: number) => void;
  /** By descriptor, in the order in which they came: until when. */
  readonly #pending = new Map<number, number>();
  readonly #line = new Uint8Array(LINE_BYTES);

  /**
   * Listens at once.
   *
   * @param onClient takes over a client's descriptor; what is behind its line is still in it.
   * @throws {VsockboxError} CANNOT_CREATE.
   */
  constructor(loop: EventLoop, path: string, onClient: (fd: number, port: number) => void) {
    this.#loop = loop;
    this.#path = path;
    this.#onClient = onClient;
    this.#listener = openUnixListener({ kind: "unix", path });
    loop.add(this.#listener.fd, EPOLLIN, () => this.#accept());
  }

  #accept(): void {
    for (;;) {
      const call = { operation: "accept on", address: this.#path };
      const fd = acceptSocket(this.#listener.fd, call);
      if (fd === undefined) return;
      this.#pending.set(fd, performance.now() + LINE_TIMEOUT_MS);
      if (this.#pending.size > MAX_PENDING_LINES) this.#dropOldest();
      this.#loop.add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, () => this.#onLine(fd));
      this.#onLine(fd);
    }
  }

  #dropOldest(): void {
    const [oldest] = this.#pending.keys();
    if (oldest !== undefined) this.#drop(oldest);
  }

  #drop(fd: number): void {
    this.#forget(fd);
    closeDescriptor(fd);
  }

  #forget(fd: number): void {
    this.#pending.delete(fd);
    this.#loop.remove(fd);
  }

  /** Takes the line and not a byte more: what follows is the stream's. */
  #onLine(fd: number): void {
    if (!this.#pending.has(fd)) return;
    const count = peekDescriptor(fd, this.#line);
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) return;
    if (count <= 0) return this.#drop(fd);
    const end = this.#line.subarray(0, count).indexOf(0x0a);
    const line = this.#line.subarray(0, end === -1 ? count : end + 1);
    let port: number | undefined;
    try {
      port = new ConnectLineReader().push(line)?.port;
    } catch {
      return this.#drop(fd);
    }
    if (port === undefined) return;
    readDescriptor(fd, line);
    this.#forget(fd);
    this.#onClient(fd, port);
  }

  /** Drops clients that never say what they want. */
  onTime(now: number): void {
    for (const [fd, deadline] of this.#pending) {
      if (deadline > now) return;
      this.#drop(fd);
    }
  }

  /** Connects to the host's service for a port; undefined where nobody listens. */
  connect(port: number): number | undefined {
    const path = `${this.#path}_${port}`;
    const fd = openSocket(AF_UNIX, SOCK_STREAM, path);
    // A Unix socket is connected at once, or its backlog is full: the guest may try again.
    if (startConnect(fd, encodeSockaddrUn(path)) === 0) return fd;
    closeDescriptor(fd);
    return undefined;
  }

  /** Stops listening and removes the socket. */
  close(): void {
    for (const fd of this.#pending.keys()) this.#drop(fd);
    this.#loop.remove(this.#listener.fd);
    closeDescriptor(this.#listener.fd);
    this.#listener.removeFile();
  }
}
