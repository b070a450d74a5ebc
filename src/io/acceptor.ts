/** A listening socket in the device's loop: some clients in each round, and none where no more fit. */
import { reasonOf } from "../errors.ts";
import { EPOLLIN } from "../ffi/epoll.ts";
import { acceptSocket } from "../ffi/socket.ts";
import type { EventLoop } from "./event-loop.ts";

/** Clients of one socket before the other descriptors have a turn. */
const ACCEPTS_PER_ROUND = 64;

/**
 * Without a free descriptor (EMFILE, ENFILE) or memory the socket stays ready and nothing can be done
 * about it: it is left alone for so long, in milliseconds. Clients wait in its backlog meanwhile.
 */
const PAUSE_MS = 100;

/** What is wrong is said so often at most, in milliseconds. */
const WARN_MS = 10_000;

/** What an {@link Acceptor} is made of. */
export interface AcceptorOptions {
  /** The listening socket, which stays the caller's to close. */
  fd: number;
  /** Where it listens, for messages. */
  address: string;
  /** Takes over a client's descriptor. */
  onAccept: (fd: number) => void;
  warn: (message: string) => void;
}

/** Accepts clients. */
export class Acceptor {
  readonly #loop: EventLoop;
  readonly #options: AcceptorOptions;
  /** When it goes on, by performance.now(). */
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
    for (let count = 0; count < ACCEPTS_PER_ROUND; count++) {
      let fd: number | undefined;
      try {
        fd = acceptSocket(listener, { operation: "accept on", address });
      } catch (thrown) {
        return this.#pause(reasonOf(thrown).message);
      }
      if (fd === undefined) return;
      onAccept(fd);
    }
  }

  #pause(reason: string): void {
    const now = performance.now();
    this.#loop.remove(this.#options.fd);
    this.#pausedUntil = now + PAUSE_MS;
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    this.#options.warn(`${reason}: clients have to wait`);
  }

  /** Goes on after a pause; to be called in every round. */
  onTime(now: number): void {
    if (this.#pausedUntil <= now) this.#watch();
  }

  /** Accepts no more, before the socket is closed. */
  close(): void {
    this.#pausedUntil = Infinity;
    this.#loop.remove(this.#options.fd);
  }
}
