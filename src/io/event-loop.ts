/**
 * The device's own loop: one blocking epoll_wait for all VMs. Now and then it lets the runtime have a
 * turn, which is how signals and everything else that is no part of the device come through.
 */
import { Epoll, EPOLLIN } from "../ffi/epoll.ts";

/** Called with what epoll says of a descriptor. */
export type EventHandler = (events: number) => void;

/** Longest block of the thread, in milliseconds: so long a signal may have to wait. */
const BLOCK_MS = 100;

/** As long blocks a loop that was asked to come back soon, in milliseconds. */
const SOON_MS = 5;

/** A busy loop lets the runtime have a turn so often, in milliseconds. */
const TURN_MS = 50;

/** Tokens are positive i32. */
const MAX_TOKEN = 0x7fff_ffff;

/** Descriptors and who is told of their events. */
export class EventLoop {
  readonly #epoll = new Epoll(128);
  /**
   * By token, not by descriptor: a descriptor that is closed while the events of a round are handled
   * may be another one's before the round is over, and the events that are left are not its own.
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

  /** Watches it for other events; what is true of these already is told as well. */
  modify(fd: number, events: number): void {
    const token = this.#tokens.get(fd);
    if (token !== undefined) this.#epoll.modify(fd, events, token);
  }

  /** Looks at a descriptor no more. */
  remove(fd: number): void {
    if (this.forget(fd)) this.#epoll.remove(fd);
  }

  /**
   * The same for one that is about to be closed, and has no duplicate: the kernel forgets it then.
   *
   * @returns whether it was looked at.
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

  /** Calls `action` when nothing has come for a while after something had. */
  whenIdle(action: () => void): void {
    this.#onIdle.push(action);
  }

  /** Something is left to be done: the next round comes at once. */
  again(): void {
    this.#again = true;
  }

  /**
   * The next round comes at this time at the latest, by performance.now(). Of several wishes the
   * earliest counts. It holds for one round: who still waits then says so again.
   */
  noLaterThan(time: number): void {
    if (time < this.#wakeAt) this.#wakeAt = time;
  }

  /** Something may be done in a moment that no descriptor tells of: the next round comes soon. */
  soon(): void {
    this.noLaterThan(performance.now() + SOON_MS);
  }

  /** How long epoll may block: in whole milliseconds, so that a wish is never met too early. */
  #blockMs(longest: number): number {
    if (this.#again) return 0;
    if (this.#wakeAt === Infinity) return longest;
    return Math.min(longest, Math.max(0, Math.ceil(this.#wakeAt - performance.now())));
  }

  /**
   * Wakes up for what the runtime waits for as well, and lets it have its turn at once: a server, a
   * signal or a finished write does not wait for the end of a block then.
   *
   * @param fd the runtime's own epoll, as `findRuntimeEpoll` gives it.
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
   * One round: waits for events and handles them.
   *
   * @param blockMs how long to wait for the first one at most, in milliseconds.
   * @returns whether there was any, or something is left to be done at once.
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
        await new Promise<void>((resolve) => setImmediate(resolve));
        lastTurn = performance.now();
      }
    }
  }

  /** Ends it: descriptors are watched no more. */
  close(): void {
    this.#epoll.close();
  }
}
