/** Waiting for one descriptor of ours, with at most one reader and one writer at a time. */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ffi/epoll.ts";
import { pollDescriptor, POLLOUT } from "../ffi/socket.ts";
import {
  type DescriptorWatch,
  descriptorWatch,
  type WatchedDescriptor,
} from "./descriptor-watch.ts";

/** How a wait ended: only "writable" promises that bytes are accepted. */
export type Writability = "writable" | "hung up" | "abandoned";

/** Events after which a read does not wait: bytes, the end of input, or an error. */
const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const WRITE_EVENTS = EPOLLOUT | EPOLLHUP | EPOLLERR;

/**
 * Returns what poll events mean to a writer; undefined if it has to wait. The write itself finds an
 * error.
 *
 * A terminal without a process at its other end reports EPOLLHUP for ever, and a write to it fails with
 * EAGAIN for ever.
 */
export function writabilityOf(events: number): Writability | undefined {
  if ((events & (EPOLLOUT | EPOLLERR)) !== 0) return "writable";
  return (events & EPOLLHUP) === 0 ? undefined : "hung up";
}

/** Waits for a descriptor, which stays the caller's. */
export class ReadyDescriptor {
  readonly #fd: number;
  readonly #watch: DescriptorWatch;
  #watched: WatchedDescriptor | undefined;
  #reader: PromiseWithResolvers<void> | undefined;
  #writer: PromiseWithResolvers<Writability> | undefined;

  constructor(fd: number, watch: DescriptorWatch = descriptorWatch()) {
    this.#fd = fd;
    this.#watch = watch;
  }

  /** Whether a read waits. */
  get isWaitingToRead(): boolean {
    return this.#reader !== undefined;
  }

  /**
   * Resolves when the descriptor is readable or has ended, and after {@link close}. The caller must have
   * read it empty, until EAGAIN, since the last wait.
   */
  readable(): Promise<void> {
    this.#reader ??= Promise.withResolvers();
    const { promise } = this.#reader;
    this.#want(EPOLLIN);
    return promise;
  }

  /**
   * Resolves when the descriptor accepts bytes, when its other end is closed, and after {@link close}.
   * What can always be written to, such as a regular file, resolves at once.
   */
  writable(): Promise<Writability> {
    const now = writabilityOf(pollDescriptor(this.#fd, POLLOUT, 0));
    if (now !== undefined) return Promise.resolve(now);
    this.#writer ??= Promise.withResolvers();
    const { promise } = this.#writer;
    this.#want(EPOLLOUT);
    return promise;
  }

  /** Ends all waits; to be called before the descriptor is closed. */
  close(): void {
    this.#watched?.close();
    this.#watched = undefined;
    this.#reader?.resolve();
    this.#reader = undefined;
    this.#writer?.resolve("abandoned");
    this.#writer = undefined;
  }

  #want(event: number): void {
    if (this.#watched === undefined) {
      this.#watched = this.#watch.add(this.#fd, event, (events) => this.#onEvents(events));
      return;
    }
    // An event that stays wanted is reported when there is something new: no system call.
    if ((this.#watched.events & event) === 0) this.#watched.want(this.#watched.events | event);
  }

  #onEvents(events: number): void {
    let unused = 0;
    if ((events & READ_EVENTS) !== 0) {
      if (this.#reader === undefined) unused |= EPOLLIN;
      this.#reader?.resolve();
      this.#reader = undefined;
    }
    if ((events & WRITE_EVENTS) !== 0) {
      if (this.#writer === undefined) unused |= EPOLLOUT;
      else this.#onWritable(this.#writer);
    }
    const wanted = this.#watched?.events ?? 0;
    if ((wanted & unused) !== 0) this.#watched?.want(wanted & ~unused);
  }

  #onWritable(writer: PromiseWithResolvers<Writability>): void {
    this.#writer = undefined;
    writer.resolve(writabilityOf(pollDescriptor(this.#fd, POLLOUT, 0)) ?? "writable");
  }
}
