/** Accepts connections of a listening socket, and pauses if descriptors or memory are short. */
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import { acceptSocket, closeDescriptor } from "../ffi/socket.ts";
import type { DescriptorWatch } from "../io/descriptor-watch.ts";
import { ReadyDescriptor } from "../io/ready-descriptor.ts";

/** Connections accepted before everything else has a turn. */
const ACCEPTS_PER_ROUND = 256;

/**
 * Pause after accept(2) has failed for want of descriptors (EMFILE, ENFILE) or memory, in milliseconds.
 * Peers wait in the backlog.
 */
const PAUSE_MS = 100;

/** Shortest interval between two reports of a shortage, in milliseconds. */
const WARN_MS = 10_000;

/** The longest interval of a timer, in milliseconds: it keeps the process alive and never fires. */
const LONGEST_MS = 0x7fff_ffff;

/** Options of {@link AcceptLoop}. */
export interface AcceptLoopOptions {
  /** The listening socket, non-blocking. The loop closes it. */
  fd: number;
  /** The address of the listener, for messages. */
  address: string;
  /** Receives the descriptor of a connection and owns it; the next is accepted when this resolves. */
  onAccept: (fd: number) => Promise<void> | void;
  /** Called with the reason if nothing can be accepted for now. */
  onShortage?: ((reason: string, error: VsockboxError) => void) | undefined;
  /** Waits for connections; the process's own unless a test has one. */
  watch?: DescriptorWatch;
}

/** A running loop. */
export class AcceptLoop {
  readonly #options: AcceptLoopOptions;
  readonly #ready: ReadyDescriptor;
  readonly #alive = setInterval(() => undefined, LONGEST_MS);
  #pause: Timer | undefined;
  #warnedAt = -Infinity;
  #isClosed = false;

  constructor(options: AcceptLoopOptions) {
    this.#options = options;
    this.#ready = new ReadyDescriptor(options.fd, options.watch);
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
    this.#ready.close();
    closeDescriptor(this.#options.fd);
  }

  #wait(): void {
    void this.#ready.readable().then(() => this.#accept());
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
        return this.#pauseFor(toVsockboxError(thrown));
      }
      if (accepted === undefined) return this.#wait();
      // A refused peer is closed at once: waiting for a promise each time would let a flood win.
      const handedOn = onAccept(accepted);
      if (handedOn !== undefined) await handedOn;
    }
  }

  #pauseFor(error: VsockboxError): void {
    this.#pause = setTimeout(() => void this.#accept(), PAUSE_MS);
    const now = performance.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    this.#options.onShortage?.(error.message, error);
  }
}
