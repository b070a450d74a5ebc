/**
 * Credit of one direction of a channel: the number of bytes that may be in flight, so that a slow reader
 * of one channel does not block the others on the connection. The receiver grants its window at the start
 * and more as its reader consumes; the sender stops at zero.
 */
import { badField } from "./json-fields.ts";

/** Bytes of Data and Records that may be on the way in each direction of a channel. */
export const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024;

/** Upper bound of credit that is accepted from a peer, in bytes. */
const MAX_CREDIT_BYTES = 0x7fff_ffff;

/** The sending side: the credit that is left. */
export class SendCredit {
  #available: number;

  constructor(window: number) {
    this.#available = window;
  }

  /** Bytes that may be sent now. */
  get available(): number {
    return this.#available;
  }

  /** Uses credit up. */
  take(bytes: number): void {
    this.#available -= bytes;
  }

  /**
   * Adds credit from the peer.
   *
   * @throws {VsockboxError} BAD_DATA if the sum exceeds any window.
   */
  add(bytes: number): void {
    const available = this.#available + bytes;
    if (available > MAX_CREDIT_BYTES) throw badField("Credit", "it is more than any window");
    this.#available = available;
  }
}

/** The receiving side: bytes received, and credit that is to be returned. */
export class ReceiveWindow {
  readonly #window: number;
  #open: number;
  #consumed = 0;

  constructor(window: number) {
    this.#window = window;
    this.#open = window;
  }

  /**
   * Counts bytes that came in.
   *
   * @throws {VsockboxError} BAD_DATA if the peer sent more than its credit.
   */
  accept(bytes: number): void {
    this.#open -= bytes;
    if (this.#open < 0)
      throw badField("channel", `the peer sent ${-this.#open} bytes beyond its credit`);
  }

  /**
   * Counts bytes that were read out.
   *
   * @returns the credit to send to the peer now; 0 while it is too little for a frame.
   */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed * 4 < this.#window) return 0;
    const returned = this.#consumed;
    this.#consumed = 0;
    this.#open += returned;
    return returned;
  }
}
