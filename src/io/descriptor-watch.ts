/**
 * Readiness of any number of descriptors, reported to callbacks on the runtime's loop.
 *
 * The runtime's own epoll skips descriptors of ours: it would end its wait for one whose entry has no
 * owner, and call nothing. Here an epoll of ours holds them, and an eventfd, which the runtime can wait for,
 * reports that this epoll has events (`wake-up-event.ts`): no thread, and no wake-up while nothing
 * happens.
 *
 *   at rest   one poll of the kernel is pending; the runtime waits for the eventfd
 *   busy      after events the epoll is examined again in the next turn of the runtime's loop; the first
 *             turn without events leads back to rest
 *
 * Methods, each for kernels that refuse the one before:
 *
 *   io_uring  wakes within 20 to 25 µs, and costs nothing when the process exits
 *   aio       wakes as fast; a process that has used it takes 20 to 40 ms to exit
 *   a timer   polls, fast at first and slower while nothing happens
 */
import { Epoll, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ffi/epoll.ts";
import { pollDescriptor } from "../ffi/socket.ts";
import { nextTurn } from "./fair-turns.ts";
import {
  openWakeUpEvent,
  type WakeUpEvent,
  WAKE_UP_METHODS,
  type WakeUpMethod,
} from "./wake-up-event.ts";

/** Called with the epoll events of a descriptor. */
export type ReadinessHandler = (events: number) => void;

/** Events that keep the process running while a descriptor waits for them. */
const WAITING_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP;

/** Intervals of the timer if the kernel cannot report events, in milliseconds. */
const FIRST_POLL_MS = 1;
const MAX_POLL_MS = 20;

/** How long this thread may block after events in {@link DescriptorWatch.linger}, in milliseconds. */
const LINGER_MS = 1;

/** Tokens are positive i32. */
const MAX_TOKEN = 0x7fff_ffff;

/** A descriptor of a {@link DescriptorWatch}. */
export class WatchedDescriptor {
  readonly fd: number;
  readonly token: number;
  readonly handler: ReadinessHandler;
  readonly #watch: DescriptorWatch;
  #events: number;

  /** Made by {@link DescriptorWatch.add}. */
  constructor(
    watch: DescriptorWatch,
    { fd, token, events, handler }: Pick<WatchedDescriptor, "fd" | "token" | "events" | "handler">,
  ) {
    this.#watch = watch;
    this.fd = fd;
    this.token = token;
    this.handler = handler;
    this.#events = events;
  }

  /** The events that are reported. EPOLLHUP and EPOLLERR always are. */
  get events(): number {
    return this.#events;
  }

  /**
   * Changes which events are reported: each once, until there is something new. Those that are true
   * already are reported again, after this method has returned.
   */
  want(events: number): void {
    const before = this.#events;
    this.#events = events;
    this.#watch.change(this, before);
  }

  /** Ends the watch; to be called before the descriptor is closed. */
  close(): void {
    this.#watch.remove(this);
  }
}

/** Watches descriptors, each of them once. */
export class DescriptorWatch {
  readonly #watched = new Map<number, WatchedDescriptor>();
  readonly #epoll = new Epoll();
  /** The methods that were not tried yet. */
  readonly #methods: WakeUpMethod[];
  /** Undefined until something waits, and if the kernel cannot report events. */
  #event: WakeUpEvent | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #isRunning = false;
  #timer: Timer | undefined;
  #pollMs = FIRST_POLL_MS;
  #lastToken = 0;
  #lingering = 0;
  #yielding = 0;
  /** Number of descriptors that wait for an event. */
  #waiting = 0;

  /** @param methods tried in this order; the timer follows. */
  constructor(methods: readonly WakeUpMethod[] = WAKE_UP_METHODS) {
    this.#methods = [...methods];
  }

  #openEvent(): WakeUpEvent | undefined {
    while (this.#event === undefined) {
      const method = this.#methods.shift();
      if (method === undefined) return undefined;
      this.#event = openWakeUpEvent(this.#epoll.fd, method);
    }
    return this.#event;
  }

  /** Whether the kernel's events are in use already. */
  get usesEvents(): boolean {
    return this.#event !== undefined;
  }

  /** Whether the kernel reports events; otherwise one may be noticed {@link MAX_POLL_MS} too late. */
  get hasEvents(): boolean {
    return this.#openEvent() !== undefined;
  }

  /**
   * Watches a descriptor, which stays the caller's.
   *
   * @throws {VsockboxError} IO: EPERM for one that cannot be polled, EEXIST for one that is watched.
   */
  add(fd: number, events: number, handler: ReadinessHandler): WatchedDescriptor {
    const token = this.#freeToken();
    const watched = new WatchedDescriptor(this, { fd, token, events, handler });
    this.#epoll.add(fd, events | EPOLLET, token);
    this.#watched.set(token, watched);
    this.#count(0, events);
    if (events !== 0) this.#wakeSoon();
    return watched;
  }

  #freeToken(): number {
    do this.#lastToken = this.#lastToken === MAX_TOKEN ? 1 : this.#lastToken + 1;
    while (this.#watched.has(this.#lastToken));
    return this.#lastToken;
  }

  /** Called by {@link WatchedDescriptor.want}. */
  change(watched: WatchedDescriptor, before: number): void {
    if (this.#watched.get(watched.token) !== watched) return;
    this.#epoll.modify(watched.fd, watched.events | EPOLLET, watched.token);
    this.#count(before, watched.events);
    this.#wakeSoon();
  }

  /** Called by {@link WatchedDescriptor.close}. */
  remove(watched: WatchedDescriptor): void {
    if (this.#watched.get(watched.token) !== watched) return;
    this.#watched.delete(watched.token);
    this.#epoll.remove(watched.fd);
    this.#count(watched.events, 0);
    this.#stopIfIdle();
  }

  #count(before: number, after: number): void {
    if ((before & WAITING_EVENTS) !== 0) this.#waiting--;
    if ((after & WAITING_EVENTS) !== 0) this.#waiting++;
  }

  #wakeSoon(): void {
    if (this.#waiting === 0) return this.#stopIfIdle();
    const event = this.#openEvent();
    if (event !== undefined) {
      if (!this.#isRunning) void this.#run(event);
      return;
    }
    this.#pollMs = FIRST_POLL_MS;
    this.#startTimer();
  }

  /**
   * Until disposed, waits for the next events in the epoll itself for up to {@link LINGER_MS} after each
   * event, before it leaves that to the runtime: half the cost of a wake-up. For a process that only
   * moves bytes, since everything else of it waits meanwhile.
   */
  linger(): Disposable {
    this.#lingering++;
    return { [Symbol.dispose]: () => void this.#lingering-- };
  }

  /** Until disposed, {@link linger} has no effect: something is expected that the runtime reports. */
  yieldToRuntime(): Disposable {
    this.#yielding++;
    return { [Symbol.dispose]: () => void this.#yielding-- };
  }

  get #isLingering(): boolean {
    return this.#lingering > 0 && this.#yielding === 0;
  }

  async #run(event: WakeUpEvent): Promise<void> {
    this.#isRunning = true;
    try {
      this.#readEvent(event);
      await nextTurn();
      while (this.#waiting > 0) {
        if (this.#report(this.#isLingering ? LINGER_MS : 0)) {
          // What the handlers have caused, immediates among it, is done before this thread may block.
          if (this.#isLingering) await afterMicrotasks();
          await nextTurn();
          continue;
        }
        if (!event.armAgain()) throw new Error("no more events");
        await this.#readEvent(event).read();
      }
    } catch {
      this.#event = undefined;
      this.#stopReading();
    } finally {
      this.#isRunning = false;
      // A descriptor may have been added after the last look at the count.
      this.#wakeSoon();
    }
  }

  #readEvent(event: WakeUpEvent): ReadableStreamDefaultReader<Uint8Array> {
    this.#reader ??= Bun.file(event.fd)
      .stream()
      .getReader() as ReadableStreamDefaultReader<Uint8Array>;
    return this.#reader;
  }

  /** Calls the handlers of the descriptors that have events; returns whether there were any. */
  #report(waitMs: number): boolean {
    const count = this.#epoll.wait(waitMs);
    const events = Array.from({ length: count }, (_, index) => ({
      token: this.#epoll.token(index),
      events: this.#epoll.events(index),
    }));
    for (const { token, events: happened } of events) this.#watched.get(token)?.handler(happened);
    return count > 0;
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const hadEvents = this.#reportPolled();
      this.#pollMs = hadEvents ? FIRST_POLL_MS : Math.min(this.#pollMs * 2, MAX_POLL_MS);
      if (this.#waiting > 0) this.#startTimer();
    }, this.#pollMs);
  }

  #reportPolled(): boolean {
    let hadEvents = false;
    for (const watched of [...this.#watched.values()]) {
      if (this.#watched.get(watched.token) !== watched) continue;
      const wanted = watched.events & WAITING_EVENTS;
      const reported = wanted | EPOLLERR | EPOLLHUP;
      const happened = wanted === 0 ? 0 : pollDescriptor(watched.fd, wanted, 0) & reported;
      if (happened === 0) continue;
      hadEvents = true;
      watched.handler(happened);
    }
    return hadEvents;
  }

  #stopIfIdle(): void {
    if (this.#waiting > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A read that waits would keep a program running that waits for nothing any more.
    this.#stopReading();
  }

  #stopReading(): void {
    void this.#reader?.cancel().catch(() => undefined);
    this.#reader = undefined;
  }
}

/** Resolves when all promises have been followed up, within this turn of the event loop. */
const afterMicrotasks = () => new Promise<void>((resolve) => process.nextTick(resolve));

let shared: DescriptorWatch | undefined;

/** Returns the watch of this process, opened at its first use. */
export function descriptorWatch(): DescriptorWatch {
  shared ??= new DescriptorWatch();
  return shared;
}
