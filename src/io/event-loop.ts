/**
 * The event loop of the vhost-user device: one thread, one epoll instance, all VMs of the process.
 *
 * A round waits in epoll_wait(2), calls the handler of each ready descriptor, and then the actions that
 * run after every round (flushing queues, timers). The runtime's own loop would cost a callback and an
 * allocation for each event; this one costs a lookup in a map.
 *
 * Timers are kept by their owners. An owner that waits for a time calls `noLaterThan(time)` in each
 * round; `again()` makes the next wait return at once, `soon()` within a few milliseconds.
 *
 * The runtime (signals, HTTP servers, file writes) runs between rounds: after every idle round, every
 * 50 ms under load, and as soon as its own epoll instance is ready, if that was found
 * (`runtime-epoll.ts`) and is watched as one more descriptor.
 */
import { Epoll, EPOLLIN } from "../ffi/epoll.ts";
import { nextTurn } from "./fair-turns.ts";

/** Called with the epoll events of a descriptor. */
export type EventHandler = (events: number) => void;

/** Longest wait of one round, in milliseconds: a signal is delayed by at most this long. */
const BLOCK_MS = 100;

/** Longest wait after {@link EventLoop.soon}, in milliseconds. */
const SOON_MS = 5;

/** Interval at which a busy loop lets the runtime run, in milliseconds. */
const TURN_MS = 50;

/** Tokens are positive i32. */
const MAX_TOKEN = 0x7fff_ffff;

/** Descriptors and the handlers of their events. */
export class EventLoop {
  readonly #epoll = new Epoll(128);
  /**
   * Keyed by token, not by descriptor: a descriptor that is closed during a round may be reused before
   * the round ends, and the remaining events of the round belong to the closed one.
   */
  readonly #handlers = new Map<number, EventHandler>();
  readonly #tokens = new Map<number, number>();
  #lastToken = 0;
  readonly #everyRound: (() => void)[] = [];
  readonly #onIdle: (() => void)[] = [];
  #stopped = false;
  #again = false;
  #runtimeWaits = false;
  /** When the next round comes at the latest, by performance.now(). */
  #wakeAt = Infinity;

  /** Watches a descriptor. */
  add(fd: number, events: number, handler: EventHandler): void {
    const token = this.#freeToken();
    this.#epoll.add(fd, events, token);
    this.#handlers.set(token, handler);
    this.#tokens.set(fd, token);
  }

  #freeToken(): number {
    do this.#lastToken = this.#lastToken === MAX_TOKEN ? 1 : this.#lastToken + 1;
    while (this.#handlers.has(this.#lastToken));
    return this.#lastToken;
  }

  /** Changes the events of a descriptor; events that are pending already are reported too. */
  modify(fd: number, events: number): void {
    const token = this.#tokens.get(fd);
    if (token !== undefined) this.#epoll.modify(fd, events, token);
  }

  /** Stops watching a descriptor. */
  remove(fd: number): void {
    if (this.forget(fd)) this.#epoll.remove(fd);
  }

  /**
   * Stops watching a descriptor that is about to be closed and has no duplicate, without a system call:
   * the kernel removes it from the epoll instance at close(2).
   *
   * @returns whether it was watched.
   */
  forget(fd: number): boolean {
    const token = this.#tokens.get(fd);
    if (token === undefined) return false;
    this.#tokens.delete(fd);
    return this.#handlers.delete(token);
  }

  /** Calls `action` after every round of events, also after those without any. */
  eachRound(action: () => void): void {
    this.#everyRound.push(action);
  }

  /** Calls `action` after the first idle round that follows a busy one. */
  whenIdle(action: () => void): void {
    this.#onIdle.push(action);
  }

  /** Makes the next round start without a wait, since work is left. */
  again(): void {
    this.#again = true;
  }

  /**
   * Limits the next wait to this time, by performance.now(). The earliest of several times counts. It
   * holds for one round: a caller that still waits calls it again.
   */
  noLaterThan(time: number): void {
    if (time < this.#wakeAt) this.#wakeAt = time;
  }

  /** Limits the next wait to a few milliseconds, for a condition that no descriptor reports. */
  soon(): void {
    this.noLaterThan(performance.now() + SOON_MS);
  }

  /** Returns how long epoll may wait, rounded up to milliseconds so that no time is met too early. */
  #blockMs(longest: number): number {
    if (this.#again) return 0;
    if (this.#wakeAt === Infinity) return longest;
    return Math.min(longest, Math.max(0, Math.ceil(this.#wakeAt - performance.now())));
  }

  /**
   * Ends the wait also when the runtime has events, and lets it run at once: signals, servers and
   * finished writes are not delayed until the wait ends.
   *
   * @param fd the runtime's own epoll, as `findRuntimeEpoll` returns it.
   */
  watchRuntime(fd: number): void {
    this.add(fd, EPOLLIN, () => {
      this.#runtimeWaits = true;
    });
  }

  /** Ends {@link run} after the present round. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Runs one round: waits for events and handles them.
   *
   * @param blockMs how long to wait for the first one at most, in milliseconds.
   * @returns whether there were events, or work is left.
   */
  round(blockMs: number): boolean {
    const count = this.#epoll.wait(this.#blockMs(blockMs));
    this.#again = false;
    this.#wakeAt = Infinity;
    for (let index = 0; index < count; index++) {
      this.#handlers.get(this.#epoll.token(index))?.(this.#epoll.events(index));
    }
    for (const action of this.#everyRound) action();
    return count > 0 || this.#again;
  }

  /** Handles events until {@link stop}. */
  async run(): Promise<void> {
    let lastTurn = performance.now();
    let wasBusy = false;
    while (!this.#stopped) {
      const isBusy = this.round(BLOCK_MS);
      if (wasBusy && !isBusy) for (const action of this.#onIdle) action();
      wasBusy = isBusy;
      const now = performance.now();
      if (this.#runtimeWaits || !isBusy || now - lastTurn > TURN_MS) {
        this.#runtimeWaits = false;
        await nextTurn();
        lastTurn = performance.now();
      }
    }
  }

  /** Closes the epoll instance; no descriptor is watched any longer. */
  close(): void {
    this.#epoll.close();
  }
}
