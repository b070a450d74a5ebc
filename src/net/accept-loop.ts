/** Accepts connections of a listening socket, one after the other, whatever is short meanwhile. */
import { reasonOf } from "../errors.ts";
import { acceptSocket, closeDescriptor } from "../ffi/socket.ts";
import { readableWatch, type ReadableWatch } from "../io/readable-watch.ts";

/** Connections accepted before everything else has a turn. */
const ACCEPTS_PER_ROUND = 256;

/**
 * Without a free descriptor (EMFILE, ENFILE) or memory the socket stays ready and nothing can be done
 * about it: it is left alone for so long, in milliseconds. Peers wait in its backlog meanwhile.
 */
const PAUSE_MS = 100;

/** A shortage is reported once in so long, in milliseconds. */
const WARN_MS = 10_000;

/** The longest interval of a timer, in milliseconds: it keeps the process alive and never fires. */
const LONGEST_MS = 0x7fff_ffff;

/** Options of {@link AcceptLoop}. */
export interface AcceptLoopOptions {
  /** The listening socket, non-blocking. The loop closes it. */
  fd: number;
  /** Where it listens, for messages. */
  address: string;
  /** Takes over the descriptor of a connection; the next is accepted when this resolves. */
  onAccept: (fd: number) => Promise<void> | void;
  /** Called with the reason if nothing can be accepted for now. */
  onShortage?: ((reason: string) => void) | undefined;
  /** What waits for connections; the process's own unless a test has one. */
  watch?: ReadableWatch;
}

/** A running loop. */
export class AcceptLoop {
  readonly #options: AcceptLoopOptions;
  readonly #watch: ReadableWatch;
  readonly #alive = setInterval(() => undefined, LONGEST_MS);
  #pause: Timer | undefined;
  #warnedAt = -Infinity;
  #isClosed = false;

  constructor(options: AcceptLoopOptions) {
    this.#options = options;
    this.#watch = options.watch ?? readableWatch();
    this.#wait();
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Accepts no more and closes the listening socket. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#alive);
    clearTimeout(this.#pause);
    this.#watch.forget(this.#options.fd);
    closeDescriptor(this.#options.fd);
  }

  #wait(): void {
    this.#watch.once(this.#options.fd, () => void this.#accept());
  }

  async #accept(): Promise<void> {
    const { fd, address, onAccept } = this.#options;
    for (let count = 0; !this.#isClosed; count++) {
      if (count === ACCEPTS_PER_ROUND) {
        setImmediate(() => void this.#accept());
        return;
      }
      let accepted: number | undefined;
      try {
        accepted = acceptSocket(fd, { operation: "accept on", address });
      } catch (thrown) {
        return this.#pauseFor(reasonOf(thrown).message);
      }
      if (accepted === undefined) return this.#wait();
      // A refused peer is closed at once: waiting for a promise each time would let a flood win.
      const handedOn = onAccept(accepted);
      if (handedOn !== undefined) await handedOn;
    }
  }

  #pauseFor(reason: string): void {
    this.#pause = setTimeout(() => void this.#accept(), PAUSE_MS);
    const now = performance.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    this.#options.onShortage?.(reason);
  }
}
