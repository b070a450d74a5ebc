/** Waiting for many descriptors in one blocking call that allocates nothing: epoll(7). */
import { ERRNO, systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import { closeDescriptor } from "./socket.ts";

/** sys/epoll.h. The low ones are those of poll(2). */
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
/** Each event once, until there is something new. */
export const EPOLLET = 0x8000_0000;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** struct epoll_event is packed on x86-64 alone; epoll_ctl(2). */
const IS_PACKED = process.arch === "x64";
const EVENT_BYTES = IS_PACKED ? 12 : 16;
const DATA_OFFSET = IS_PACKED ? 4 : 8;

/** A set of descriptors, each under its own number or another one that fits in 32 bits. */
export class Epoll {
  /** The epoll's own descriptor: readable while there are events. */
  readonly fd: number;
  readonly #capacity: number;
  readonly #events: DataView;
  readonly #eventsAddress;
  readonly #change: DataView;
  readonly #changeAddress;

  /**
   * @param capacity the maximum number of events of one {@link wait}.
   * @throws {VsockboxError} IO with the errno.
   */
  constructor(capacity = 64) {
    this.#capacity = capacity;
    this.#events = new DataView(new ArrayBuffer(EVENT_BYTES * capacity));
    this.#eventsAddress = ptr(this.#events);
    this.#change = new DataView(new ArrayBuffer(EVENT_BYTES));
    this.#changeAddress = ptr(this.#change);
    this.fd = libc().epoll_create1(EPOLL_CLOEXEC);
    if (this.fd < 0) throw systemError(lastErrno(), { operation: "open epoll" });
  }

  /**
   * Adds a descriptor.
   *
   * @param token reported with its events; the descriptor's number by default.
   * @throws {VsockboxError} IO: EPERM for one that cannot be polled, EEXIST for one that was added already.
   */
  add(fd: number, events: number, token = fd): void {
    this.#control(EPOLL_CTL_ADD, fd, events, token);
  }

  /** Changes its events. */
  modify(fd: number, events: number, token = fd): void {
    this.#control(EPOLL_CTL_MOD, fd, events, token);
  }

  /** Removes a descriptor before it is closed, since a duplicate would keep it. An unknown one is ignored. */
  remove(fd: number): void {
    libc().epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.#changeAddress);
  }

  /**
   * Blocks this thread until something happens.
   *
   * @param timeoutMs in milliseconds; -1 is for ever.
   * @returns the count of events, to be read by {@link token} and {@link events}; 0 after the
   * timeout, or a signal.
   */
  wait(timeoutMs: number): number {
    const count = libc().epoll_wait(this.fd, this.#eventsAddress, this.#capacity, timeoutMs);
    if (count >= 0) return count;
    const errno = lastErrno();
    if (errno === ERRNO.EINTR) return 0;
    throw systemError(errno, { operation: "wait for events" });
  }

  /** Returns the token of event number `index` of the last {@link wait}. */
  token(index: number): number {
    return this.#events.getInt32(index * EVENT_BYTES + DATA_OFFSET, true);
  }

  /** Returns the events of event number `index` of the last {@link wait}. */
  events(index: number): number {
    return this.#events.getUint32(index * EVENT_BYTES, true);
  }

  /** Closes the epoll instance; its descriptors stay open. */
  close(): void {
    closeDescriptor(this.fd);
  }

  #control(operation: number, fd: number, events: number, token: number): void {
    this.#change.setUint32(0, events, true);
    this.#change.setInt32(DATA_OFFSET, token, true);
    if (libc().epoll_ctl(this.fd, operation, fd, this.#changeAddress) === 0) return;
    throw systemError(lastErrno(), {
      operation: "wait for",
      address: `descriptor ${fd}`,
      code: "IO",
    });
  }
}
