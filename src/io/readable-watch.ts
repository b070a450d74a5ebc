/**
 * Waiting until a listening socket has connections or a pipe has bytes, one call for each wait. The
 * runtime's own listeners accept by themselves: before the peer is known, and without a pause if there
 * is no free descriptor, which keeps a core busy until there is one.
 *
 * One epoll holds all sockets that are waited for; an eventfd, which the runtime can wait for, reports
 * that this epoll has events (`ffi/aio-poll.ts`). A kernel without asynchronous I/O is asked by a timer.
 */
import { AioPoll } from "../ffi/aio-poll.ts";
import { Epoll, EPOLLIN, EPOLLONESHOT } from "../ffi/epoll.ts";
import { pollDescriptor, POLLIN } from "../ffi/socket.ts";

/** Between two polls if the kernel cannot report events, in milliseconds. */
const POLL_MS = 20;

/** Waits for any number of descriptors. */
export class ReadableWatch {
  readonly #waiting = new Map<number, () => void>();
  readonly #epoll = new Epoll();
  /** Undefined if the kernel cannot report events. */
  #poll: AioPoll | undefined;
  #events: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #isReading = false;
  #timer: Timer | undefined;

  /** @param usesTimer whether to do without the kernel's asynchronous I/O, for tests. */
  constructor(usesTimer = false) {
    this.#poll = usesTimer ? undefined : AioPoll.open(this.#epoll.fd);
  }

  /** Whether the kernel reports events; otherwise a wait may last {@link POLL_MS} too long. */
  get hasEvents(): boolean {
    return this.#poll !== undefined;
  }

  /** Calls `wake` once, as soon as `fd` is readable; always after this method has returned. */
  once(fd: number, wake: () => void): void {
    this.#waiting.set(fd, wake);
    if (this.#poll === undefined) {
      this.#timer ??= setInterval(() => this.#wakePolled(), POLL_MS);
      return;
    }
    this.#epoll.add(fd, EPOLLIN | EPOLLONESHOT);
    void this.#readEvents(this.#poll);
  }

  /** Ends the wait for a descriptor; to be called before it is closed. */
  forget(fd: number): void {
    if (!this.#waiting.delete(fd)) return;
    this.#epoll.remove(fd);
    this.#stopIfIdle();
  }

  async #readEvents(poll: AioPoll): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      while (this.#waiting.size > 0) {
        const isNew = this.#events === undefined;
        this.#events ??= Bun.file(poll.event)
          .stream()
          .getReader() as ReadableStreamDefaultReader<Uint8Array>;
        // A reader that was cancelled may have read the event that this one waits for.
        if (!isNew) await this.#events.read();
        this.#wakeReported();
        if (!poll.armAgain()) throw new Error("no more events");
      }
    } catch {
      this.#poll = undefined;
      if (this.#waiting.size > 0) this.#timer ??= setInterval(() => this.#wakePolled(), POLL_MS);
    } finally {
      this.#isReading = false;
    }
  }

  #wakeReported(): void {
    const count = this.#epoll.wait(0);
    const ready = Array.from({ length: count }, (_, index) => this.#epoll.token(index));
    for (const fd of ready) this.#wake(fd);
  }

  #wakePolled(): void {
    for (const fd of this.#waiting.keys()) {
      if (pollDescriptor(fd, POLLIN, 0) !== 0) this.#wake(fd);
    }
    this.#stopIfIdle();
  }

  #wake(fd: number): void {
    const wake = this.#waiting.get(fd);
    if (wake === undefined) return;
    this.#waiting.delete(fd);
    this.#epoll.remove(fd);
    wake();
  }

  #stopIfIdle(): void {
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    // A read that waits would keep a program running that has closed all its listeners.
    void this.#events?.cancel().catch(() => undefined);
    this.#events = undefined;
  }
}

let shared: ReadableWatch | undefined;

/** Returns the watch of this process, opened at its first use. */
export function readableWatch(): ReadableWatch {
  shared ??= new ReadableWatch();
  return shared;
}
