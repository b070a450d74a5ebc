/** Credit of a channel's direction: how much may be on the way, so that a slow reader holds up nobody. */
import { bad } from "./json-fields.ts";

/** Bytes of Data and Records that may be on the way in each direction of a channel. */
export const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024;

/** More credit than this is no sane peer's, in bytes. */
const MAX_CREDIT_BYTES = 0x7fff_ffff;

/** The sending side: how much the peer still takes. */
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
   * Takes new credit from the peer.
   *
   * @throws {VsockboxError} BAD_DATA where it adds up to more than any window.
   */
  add(bytes: number): void {
    const available = this.#available + bytes;
    if (available > MAX_CREDIT_BYTES) throw bad("Credit", "it is more than any window holds");
    this.#available = available;
  }
}

/** The receiving side: what has come in, and what is to be given back. */
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
   * @throws {VsockboxError} BAD_DATA where the peer sent more than it had credit for.
   */
  accept(bytes: number): void {
    this.#open -= bytes;
    if (this.#open < 0)
      throw bad("channel", `the peer sent ${-this.#open} bytes beyond its credit`);
  }

  /**
   * Counts bytes that were read out.
   *
   * @returns the credit to be given to the peer now; 0 while it is too little to be worth a frame.
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
