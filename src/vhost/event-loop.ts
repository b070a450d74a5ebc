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

/** Descriptors and who is told of their events. */
export class EventLoop {
  readonly #epoll = new Epoll(128);
  readonly #handlers = new Map<number, EventHandler>();
  readonly #everyRound: (() => void)[] = [];
  #stopped = false;
  #again = false;
  #soon = false;
  #runtimeWaits = false;

  /** Watches a descriptor. */
  add(fd: number, events: number, handler: EventHandler): void {
    this.#epoll.add(fd, events);
    this.#handlers.set(fd, handler);
  }

  /** Looks at a descriptor no more; before it is closed. */
  remove(fd: number): void {
    if (this.#handlers.delete(fd)) this.#epoll.remove(fd);
  }

  /** Calls `action` after every round of events, also after those without any. */
  eachRound(action: () => void): void {
    this.#everyRound.push(action);
  }

  /** Something is left to be done: the next round comes at once. */
  again(): void {
    this.#again = true;
  }

  /** Something may be done in a moment that no descriptor tells of: the next round comes soon. */
  soon(): void {
    this.#soon = true;
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

  /** Handles events until {@link stop}. */
  async run(): Promise<void> {
    let lastTurn = performance.now();
    while (!this.#stopped) {
      const count = this.#epoll.wait(this.#again ? 0 : this.#soon ? SOON_MS : BLOCK_MS);
      this.#again = false;
      this.#soon = false;
      for (let index = 0; index < count; index++) {
        this.#handlers.get(this.#epoll.token(index))?.(this.#epoll.events(index));
      }
      for (const action of this.#everyRound) action();
      const now = performance.now();
      if (this.#runtimeWaits || (count === 0 && !this.#again) || now - lastTurn > TURN_MS) {
        this.#runtimeWaits = false;
        await new Promise<void>((resolve) => setImmediate(resolve));
        lastTurn = performance.now();
      }
    }
    this.#epoll.close();
  }
}
