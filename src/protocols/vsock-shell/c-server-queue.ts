/**
 * A model of the send queue of a C server, which a client needs in order to complete a download.
 *
 * - It is filled until more than 500,000 bytes are in it, only when something wakes the server, and
 *   then emptied as far as its end.
 * - It is a buffer of 1,000,000 bytes that begins again at 0 only if a message ends exactly at its
 *   end. One that does not fit in front of the end is lost, and the download with it.
 * - In a download the server survives one message: a START that it refuses. The refusal goes through
 *   the queue; its length is that of the path asked for. So the client can make the queue end at the
 *   required position.
 */
import { encodeMessage, SHELL_HEADER_BYTES, MAX_SHELL_DATA_BYTES, Type } from "./message.ts";
import { WAKE_PATH } from "./client-protocol.ts";

/** Size of the queue, in bytes. */
const QUEUE_BYTES = 1_000_000;

/** A full FileData message with its header, in bytes. */
const DATA_MESSAGE_BYTES = SHELL_HEADER_BYTES + MAX_SHELL_DATA_BYTES;

/**
 * So far in a turn of the queue the server waits to be woken, or soon will. Once in a turn and no
 * more: a server that is woken too often begins the next turn before that is aligned.
 */
const WAKE_AT_BYTES = 450_000;

/** `KO source file '` and `' does not exist` around the path, with NUL and header, in bytes. */
const REFUSAL_EXTRA_BYTES = SHELL_HEADER_BYTES + 16 + 16 + 1;

/** The server cuts an answer to 300 bytes with its NUL. */
const MAX_REFUSAL_BYTES = SHELL_HEADER_BYTES + 300;

/** The shortest path that is asked for, in bytes. */
const MIN_PATH_BYTES = WAKE_PATH.length + 1;

const MIN_REFUSAL_BYTES = REFUSAL_EXTRA_BYTES + MIN_PATH_BYTES;

/** What to send to a C server, by what came from it. */
export class CServerQueue {
  /** Bytes received: the position in the queue, since nothing is lost. */
  #received = 0;
  /** Whether it was woken in this turn. */
  #isWoken = false;
  /** The turn of the queue that is aligned already. */
  #turn = -1;
  /** A request that was begun, to wake the server byte by byte, and what its refusal will have. */
  #begun: Uint8Array = new Uint8Array(0);
  #begunBytes = 0;

  /** Counts a message that came, with its header, in bytes. */
  count(bytes: number): void {
    this.#received += bytes;
  }

  /** Returns the bytes to send now; empty if the server needs nothing. Called after each FileData. */
  next(): Uint8Array {
    const turn = Math.floor(this.#received / QUEUE_BYTES);
    if (turn !== this.#turn) {
      this.#turn = turn;
      return this.#align();
    }
    if (this.#isWoken || this.#received % QUEUE_BYTES < WAKE_AT_BYTES) return new Uint8Array(0);
    this.#isWoken = true;
    return this.wake();
  }

  /** A byte that wakes the server and puts nothing into its queue; empty if that has no end. */
  wake(): Uint8Array {
    if (this.#begunBytes === 0) {
      // The longest path: its bytes last for many wakes. Its refusal comes when it is complete.
      this.#begun = refusedRequest(MAX_REFUSAL_BYTES);
      this.#begunBytes = MAX_REFUSAL_BYTES;
    }
    if (this.#begun.length <= 1) return new Uint8Array(0);
    const byte = this.#begun.subarray(0, 1);
    this.#begun = this.#begun.subarray(1);
    return byte;
  }

  /** Returns the rest of a message that was begun, so that another one can follow. */
  finish(): Uint8Array {
    const rest = this.#begun;
    this.#begun = new Uint8Array(0);
    this.#begunBytes = 0;
    return rest;
  }

  /** Returns requests whose refusals align full data messages with the end of the queue. */
  #align(): Uint8Array {
    this.#isWoken = false;
    let room = QUEUE_BYTES - (this.#received % QUEUE_BYTES);
    const begunBytes = this.#begunBytes;
    const parts = [this.finish()];
    room -= begunBytes;
    let needed = room % DATA_MESSAGE_BYTES;
    while (needed < MIN_REFUSAL_BYTES) needed += DATA_MESSAGE_BYTES;
    const count = Math.ceil(needed / MAX_REFUSAL_BYTES);
    for (let left = count; left > 0; left--) {
      const bytes = Math.floor(needed / left);
      parts.push(refusedRequest(bytes));
      needed -= bytes;
    }
    return Buffer.concat(parts);
  }
}

/** A request whose refusal, with its header, has so many bytes. */
function refusedRequest(refusalBytes: number): Uint8Array {
  const path = WAKE_PATH.padEnd(refusalBytes - REFUSAL_EXTRA_BYTES, "-");
  return encodeMessage(Type.DownloadStart, Buffer.from(`${path} -\0`));
}
