/** Non-blocking connects of a device to services on the host, until they succeed or fail. */
import { ERRNO } from "../../ffi/errno.ts";
import { EPOLLET, EPOLLOUT } from "../../ffi/epoll.ts";
import { closeDescriptor, openSocket, socketError, startConnect } from "../../ffi/socket.ts";
import type { EventLoop } from "../../io/event-loop.ts";

/** Limit of pending connects; further REQUESTs of the guest are answered with an RST. */
const MAX_PENDING_CONNECTS = 1024;

/** How long a full backlog of a Unix socket is retried, in milliseconds; the timeout of AF_VSOCK. */
const BACKLOG_MS = 2000;

/** A service on the host. */
export interface ConnectTarget {
  /** AF_UNIX or AF_VSOCK. */
  family: number;
  /** SOCK_STREAM or SOCK_SEQPACKET. */
  socketType: number;
  sockaddr: Uint8Array;
  /** For messages. */
  address: string;
}

/** Returns whether a connection may be used; called once it is established. */
export type AcceptsPeer = (fd: number, target: ConnectTarget) => boolean;

type OnDialled = (fd: number | undefined) => void;

interface PendingConnect {
  fd: number;
  target: ConnectTarget;
  onDialled: OnDialled;
  /** Time until which it is retried, by performance.now(); undefined if the kernel has its own timeout. */
  deadline: number | undefined;
}

/** The pending connects of one device. */
export class PendingConnects {
  readonly #loop: EventLoop;
  readonly #open = new Set<PendingConnect>();
  readonly #acceptsPeer: AcceptsPeer;
  #retries = 0;

  constructor(loop: EventLoop, acceptsPeer: AcceptsPeer = () => true) {
    this.#loop = loop;
    this.#acceptsPeer = acceptsPeer;
  }

  /** How many are pending. */
  get count(): number {
    return this.#open.size;
  }

  /** Connects; `onDialled` is called once, with undefined if that fails. */
  start(target: ConnectTarget, onDialled: OnDialled): void {
    const { family, socketType, sockaddr, address } = target;
    if (this.#open.size >= MAX_PENDING_CONNECTS) return onDialled(undefined);
    let fd: number;
    try {
      fd = openSocket(family, socketType, address);
    } catch {
      // Without a descriptor, or without vsock in the kernel, the service is unreachable.
      return onDialled(undefined);
    }
    const errno = startConnect(fd, sockaddr);
    const pending: PendingConnect = { fd, target, onDialled, deadline: undefined };
    if (errno === 0) return this.#end(pending, true);
    if (errno === ERRNO.EINPROGRESS) {
      this.#open.add(pending);
      this.#loop.add(fd, EPOLLOUT | EPOLLET, () => this.#onConnected(pending));
    } else if (errno === ERRNO.EAGAIN) {
      // The backlog of a Unix socket is full; epoll does not report the end of that.
      pending.deadline = performance.now() + BACKLOG_MS;
      this.#open.add(pending);
      this.#retries++;
    } else {
      closeDescriptor(fd);
      onDialled(undefined);
    }
  }

  #onConnected(pending: PendingConnect): void {
    this.#loop.remove(pending.fd);
    this.#end(pending, socketError(pending.fd) === 0);
  }

  /** Retries the connects that found a full backlog; `now` is performance.now(). */
  onTime(now: number): void {
    if (this.#retries === 0) return;
    for (const pending of this.#open) {
      if (pending.deadline === undefined) continue;
      const errno = startConnect(pending.fd, pending.target.sockaddr);
      if (errno === ERRNO.EAGAIN && now < pending.deadline) continue;
      this.#retries--;
      this.#end(pending, errno === 0);
    }
    if (this.#retries > 0) this.#loop.soon();
  }

  #end(pending: PendingConnect, isConnected: boolean): void {
    const { fd, target, onDialled } = pending;
    this.#open.delete(pending);
    const isUsable = isConnected && this.#acceptsPeer(fd, target);
    if (!isUsable) closeDescriptor(fd);
    onDialled(isUsable ? fd : undefined);
  }

  /** Ends all of them without a connection. */
  close(): void {
    for (const pending of this.#open) {
      if (pending.deadline === undefined) this.#loop.remove(pending.fd);
      this.#end(pending, false);
    }
    this.#retries = 0;
  }
}
