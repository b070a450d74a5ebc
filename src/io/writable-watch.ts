/**
 * Waiting until a descriptor can be written to, without a thread and without asking again and again.
 *
 * The runtime's own writer must not be used for a terminal: if no process has the terminal's other
 * end open any more, epoll reports EPOLLHUP for ever, writing fails with EAGAIN for ever, and the
 * runtime repeats both. Here one epoll of our own holds every descriptor that a write waits for, and
 * an eventfd, which the runtime can wait for, reports that this epoll has events (`aio-poll.ts`). A
 * kernel without asynchronous I/O is asked by a timer.
 */
import { AioPoll } from "../ffi/aio-poll.ts";
import { Epoll, EPOLLERR, EPOLLHUP, EPOLLONESHOT, EPOLLOUT } from "../ffi/epoll.ts";
import { pollDescriptor, POLLOUT } from "../ffi/socket.ts";

/** How a wait ended: only "writable" promises that bytes are accepted. */
export type Writability = "writable" | "hung up" | "abandoned";

/** Pauses between two polls if the kernel cannot report events, in milliseconds. */
const FIRST_POLL_MS = 1;
const MAX_POLL_MS = 50;

/** What poll events mean to a writer. An error is found by the write itself. */
export function writabilityOf(events: number): Writability | undefined {
  if ((events & (EPOLLOUT | EPOLLERR)) !== 0) return "writable";
  return (events & EPOLLHUP) === 0 ? undefined : "hung up";
}

type Wake = (result: Writability) => void;

/** Waits for any number of descriptors, each with one writer at a time. */
export class WritableWatch {
  readonly #waiting = new Map<number, Wake>();
  readonly #epoll = new Epoll();
  /** Undefined if the kernel cannot report events. */
  #poll: AioPoll | undefined;
  #events: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #isReading = false;

  /** @param usesTimer whether to do without the kernel's asynchronous I/O, for tests. */
  constructor(usesTimer = false) {
    this.#poll = usesTimer ? undefined : AioPoll.open(this.#epoll.fd);
  }

  /**
   * Resolves when `fd` accepts bytes, when its other end is closed, or after {@link abandon}. What can
   * always be written to, such as a regular file, resolves at once.
   */
  wait(fd: number): Promise<Writability> {
    const now = writabilityOf(pollDescriptor(fd, POLLOUT, 0));
    if (now !== undefined) return Promise.resolve(now);
    const { promise, resolve } = Promise.withResolvers<Writability>();
    this.#waiting.set(fd, resolve);
    if (this.#poll === undefined) {
      this.#askByTimer(fd, resolve, FIRST_POLL_MS);
    } else {
      this.#epoll.add(fd, EPOLLOUT | EPOLLONESHOT);
      void this.#readEvents(this.#poll);
    }
    return promise;
  }

  /** Ends the wait for a descriptor, which is to be called before it is closed. */
  abandon(fd: number): void {
    this.#finish(fd, "abandoned");
  }

  #finish(fd: number, result: Writability): void {
    const wake = this.#waiting.get(fd);
    if (wake === undefined) return;
    this.#waiting.delete(fd);
    this.#epoll.remove(fd);
    wake(result);
  }

  async #readEvents(poll: AioPoll): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#events ??= Bun.file(poll.event)
      .stream()
      .getReader() as ReadableStreamDefaultReader<Uint8Array>;
    try {
      while (this.#waiting.size > 0) {
        await this.#events.read();
        this.#wakeReady();
        if (!poll.arm()) throw new Error("no more events");
      }
    } catch {
      this.#poll = undefined;
      for (const [fd, wake] of this.#waiting) this.#askByTimer(fd, wake, FIRST_POLL_MS);
    } finally {
      this.#isReading = false;
    }
  }

  #wakeReady(): void {
    const count = this.#epoll.wait(0);
    const ready = Array.from({ length: count }, (_, index) => this.#epoll.token(index));
    for (const fd of ready) {
      this.#finish(fd, writabilityOf(pollDescriptor(fd, POLLOUT, 0)) ?? "writable");
    }
  }

  #askByTimer(fd: number, wake: Wake, pauseMs: number): void {
    setTimeout(() => {
      if (this.#waiting.get(fd) !== wake) return;
      const now = writabilityOf(pollDescriptor(fd, POLLOUT, 0));
      if (now === undefined) this.#askByTimer(fd, wake, Math.min(pauseMs * 2, MAX_POLL_MS));
      else this.#finish(fd, now);
    }, pauseMs);
  }
}

let shared: WritableWatch | undefined;

/** The watch of this process, opened at its first use. */
export function writableWatch(): WritableWatch {
  shared ??= new WritableWatch();
  return shared;
}
