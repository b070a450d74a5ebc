/** Connects of a device that have no answer yet. */
import { ERRNO } from "../../ffi/errno.ts";
import { EPOLLET, EPOLLOUT } from "../../ffi/epoll.ts";
import { closeDescriptor, openSocket, socketError, startConnect } from "../../ffi/socket.ts";
import type { EventLoop } from "../../io/event-loop.ts";

/** Most at once; a guest that asks for more is refused, as are the connections of a full device. */
const MAX_PENDING_CONNECTS = 1024;

/** A service whose backlog is full may take so long, in milliseconds; as long as AF_VSOCK gives. */
const BACKLOG_MS = 2000;

/** What is to be dialled. */
export interface ConnectTarget {
  /** AF_UNIX or AF_VSOCK. */
  family: number;
  /** SOCK_STREAM or SOCK_SEQPACKET. */
  socketType: number;
  sockaddr: Uint8Array;
  /** For messages. */
  address: string;
}

/** Whether a connection may be used; asked once it is there. */
export type AcceptsPeer = (fd: number, target: ConnectTarget) => boolean;

type Answer = (fd: number | undefined) => void;

interface Dial {
  fd: number;
  target: ConnectTarget;
  answer: Answer;
  /** Until when it is tried again; undefined where the kernel has its own deadline. */
  deadline: number | undefined;
}

/** PendingConnects without waiting for any of them. */
export class PendingConnects {
  readonly #loop: EventLoop;
  readonly #open = new Set<Dial>();
  readonly #acceptsPeer: AcceptsPeer;
  #retries = 0;

  constructor(loop: EventLoop, acceptsPeer: AcceptsPeer = () => true) {
    this.#loop = loop;
    this.#acceptsPeer = acceptsPeer;
  }

  /** How many have no answer yet. */
  get count(): number {
    return this.#open.size;
  }

  /** Connects; `answer` is called once, with undefined where that fails. */
  start(target: ConnectTarget, answer: Answer): void {
    const { family, socketType, sockaddr, address } = target;
    if (this.#open.size >= MAX_PENDING_CONNECTS) return answer(undefined);
    let fd: number;
    try {
      fd = openSocket(family, socketType, address);
    } catch {
      // Without a descriptor, or without vsock in the kernel, the service is not there.
      return answer(undefined);
    }
    const errno = startConnect(fd, sockaddr);
    const dial: Dial = { fd, target, answer, deadline: undefined };
    if (errno === 0) return this.#end(dial, true);
    if (errno === ERRNO.EINPROGRESS) {
      this.#open.add(dial);
      this.#loop.add(fd, EPOLLOUT | EPOLLET, () => this.#onConnected(dial));
    } else if (errno === ERRNO.EAGAIN) {
      // A Unix socket whose backlog is full; epoll does not tell when it no longer is.
      dial.deadline = performance.now() + BACKLOG_MS;
      this.#open.add(dial);
      this.#retries++;
    } else {
      closeDescriptor(fd);
      answer(undefined);
    }
  }

  #onConnected(dial: Dial): void {
    this.#loop.remove(dial.fd);
    this.#end(dial, socketError(dial.fd) === 0);
  }

  /** Tries those again that found a full backlog. */
  onTime(now: number): void {
    if (this.#retries === 0) return;
    for (const dial of this.#open) {
      if (dial.deadline === undefined) continue;
      const errno = startConnect(dial.fd, dial.target.sockaddr);
      if (errno === ERRNO.EAGAIN && now < dial.deadline) continue;
      this.#retries--;
      this.#end(dial, errno === 0);
    }
    if (this.#retries > 0) this.#loop.soon();
  }

  #end(dial: Dial, isConnected: boolean): void {
    this.#open.delete(dial);
    const isUsable = isConnected && this.#acceptsPeer(dial.fd, dial.target);
    if (!isUsable) closeDescriptor(dial.fd);
    dial.answer(isUsable ? dial.fd : undefined);
  }

  /** Gives all of them up. */
  close(): void {
    for (const dial of this.#open) {
      if (dial.deadline === undefined) this.#loop.remove(dial.fd);
      this.#end(dial, false);
    }
    this.#retries = 0;
  }
}
