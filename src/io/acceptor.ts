/** A listening socket in an {@link EventLoop}: a limited number of clients in each round, a pause on EMFILE. */
import { reasonOf } from "../errors.ts";
import { EPOLLIN } from "../ffi/epoll.ts";
import { acceptSocket } from "../ffi/socket.ts";
import { AcceptLimit } from "./accept-limit.ts";
import type { EventLoop } from "./event-loop.ts";

/** Limit of clients of one socket that are accepted before other descriptors are served. */
const ACCEPTS_PER_ROUND = 64;

/**
 * How long a socket is not watched after accept(2) has failed for want of descriptors (EMFILE, ENFILE) or
 * memory, in milliseconds: it stays ready, and its clients wait in the backlog.
 */
const PAUSE_MS = 100;

/** Shortest interval between two warnings, in milliseconds. */
const WARN_MS = 10_000;

/** Options of {@link Acceptor}. */
export interface AcceptorOptions {
  /** The listening socket; the caller closes it. */
  fd: number;
  /** The address of the listener, for messages. */
  address: string;
  /** Receives a client's descriptor and owns it. */
  onAccept: (fd: number) => void;
  warn: (message: string) => void;
}

/** Accepts clients. */
export class Acceptor {
  readonly #loop: EventLoop;
  readonly #options: AcceptorOptions;
  readonly #limit = new AcceptLimit(ACCEPTS_PER_ROUND);
  /** End of the pause, by performance.now(). */
  #pausedUntil = Infinity;
  #warnedAt = -Infinity;

  constructor(loop: EventLoop, options: AcceptorOptions) {
    this.#loop = loop;
    this.#options = options;
    this.#watch();
  }

  #watch(): void {
    this.#pausedUntil = Infinity;
    this.#loop.add(this.#options.fd, EPOLLIN, () => this.#accept());
  }

  #accept(): void {
    const { fd: listener, address, onAccept } = this.#options;
    const { clients } = this.#limit;
    for (let count = 0; count < clients; count++) {
      let fd: number | undefined;
      try {
        fd = acceptSocket(listener, { operation: "accept on", address });
      } catch (thrown) {
        return this.#pause(reasonOf(thrown).message);
      }
      if (fd === undefined) return this.#limit.onEmpty();
      onAccept(fd);
    }
    // The socket is ready again at once if more clients wait.
    this.#limit.onFull();
  }

  #pause(reason: string): void {
    const now = performance.now();
    this.#loop.remove(this.#options.fd);
    this.#pausedUntil = now + PAUSE_MS;
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    this.#options.warn(`${reason}: clients have to wait`);
  }

  /** Resumes after a pause; called in every round. */
  onTime(now: number): void {
    this.#limit.onRound();
    if (this.#pausedUntil <= now) this.#watch();
  }

  /** Stops accepting; called before the socket is closed. */
  close(): void {
    this.#pausedUntil = Infinity;
    this.#loop.remove(this.#options.fd);
  }
}
