/**
 * Waking C clients. What one has to send waits in it until its select(2) returns, for which any
 * message does: an empty PTY_DATA shows nothing on a terminal and is only logged in a transfer.
 */
import { Type } from "../protocols/vsock-shell/message.ts";
import type { MessageConnection } from "./message-connection.ts";

/** So long a client may be silent before it is woken for the first time, in milliseconds. */
const FIRST_WAKE_MS = 50;

/** The pause between two wakes of a silent client doubles up to this, in milliseconds. */
const MAX_WAKE_MS = 1000;

/** A C client stops above 500,000 bytes in its queue: just before that it is woken at once. */
const WAKE_AFTER_BYTES = 490_000;

/** Wakes a client whenever it is silent, until disposed. */
export class Waker implements Disposable {
  readonly #connection: MessageConnection;
  #pauseMs = FIRST_WAKE_MS;
  #timer: Timer;
  #bytes = 0;
  #unanswered = 0;

  constructor(connection: MessageConnection) {
    this.#connection = connection;
    this.#timer = this.#schedule();
  }

  /** Wakes since the last message. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Something came from the client, so many bytes. */
  heard(bytes: number): void {
    this.#unanswered = 0;
    this.#pauseMs = FIRST_WAKE_MS;
    this.#bytes += bytes;
    if (this.#bytes < WAKE_AFTER_BYTES) {
      this.#timer.refresh();
      return;
    }
    this.#bytes = 0;
    this.#wake();
  }

  #schedule(): Timer {
    const timer = setTimeout(() => {
      this.#unanswered++;
      this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_WAKE_MS);
      this.#wake();
    }, this.#pauseMs);
    timer.unref();
    return timer;
  }

  #wake(): void {
    clearTimeout(this.#timer);
    // The reader notices a broken connection.
    this.#connection.send(Type.PtyData).catch(() => undefined);
    this.#timer = this.#schedule();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
