/** Backpressure of a socket: stops reading from the kernel while many received bytes are unread. */

/** Reading from the kernel stops above this many unread bytes and goes on at half of it. */
export const READ_HIGH_WATER_BYTES = 1024 * 1024;

/** Interval at which a paused socket is polled for its peer's close, in milliseconds. */
const HANGUP_CHECK_MS = 250;

/** The socket that is paused. */
export interface PausableSocket {
  pause(): void;
  resume(): void;
  /** Whether its peer has closed or half-closed. */
  hasHungUp(): boolean;
}

/** Pauses and resumes one socket. */
export class ReadBackpressure {
  readonly #socket: PausableSocket;
  readonly #onHangup: () => void;
  #isPaused = false;
  #isClosed = false;
  #hangupTimer: Timer | undefined;

  /** @param onHangup called if the peer closes while the socket is paused, possibly several times. */
  constructor(socket: PausableSocket, onHangup: () => void) {
    this.#socket = socket;
    this.#onHangup = onHangup;
  }

  /** Whether reading from the kernel has stopped. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Called after bytes were received. */
  onReceived(unreadBytes: number): void {
    if (this.#isPaused || unreadBytes <= READ_HIGH_WATER_BYTES) return;
    this.#isPaused = true;
    this.#socket.pause();
    // A paused socket gets no event when its peer closes.
    this.#hangupTimer = setInterval(() => {
      if (this.#socket.hasHungUp()) this.#onHangup();
    }, HANGUP_CHECK_MS);
    this.#hangupTimer.unref();
  }

  /** Called after bytes were read. */
  onRead(unreadBytes: number): void {
    if (this.#isPaused && unreadBytes <= READ_HIGH_WATER_BYTES / 2) this.resume();
  }

  /** Reads from the kernel again. */
  resume(): void {
    this.#isPaused = false;
    clearInterval(this.#hangupTimer);
    if (!this.#isClosed) this.#socket.resume();
  }

  /** Ends the polling of a socket that has been closed. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#hangupTimer);
  }
}
