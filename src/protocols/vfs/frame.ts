/**
 * Frames of the VFS protocol: `u32 length` (big-endian), then so many bytes of CBOR. Bytes in, payloads
 * out; no I/O.
 */
import { VsockboxError } from "../../errors.ts";
import { encodeMap } from "./cbor.ts";
import type { Encodable } from "./cbor-values.ts";

/** Bytes of the length. */
const LENGTH_BYTES = 4;

/** The buffer of a frame up to this size is allocated at once, in bytes. */
const EAGER_BYTES = 64 * 1024;

/** The fields of a message on their way out; those that are undefined are absent. */
export type FrameFields = { readonly [key: string]: Encodable | undefined };

/** Returns a message as a frame. */
export function encodeVfsFrame(fields: FrameFields): Uint8Array {
  const frame = encodeMap(fields, { before: LENGTH_BYTES, after: 0 });
  new DataView(frame.buffer).setUint32(0, frame.length - LENGTH_BYTES);
  return frame;
}

/** The most bytes that {@link encodeFrameHead} returns for a few numbers, in bytes. */
export const MAX_HEAD_BYTES = 128;

/** CBOR: first byte of a map, and of a byte string with a length of 32 bits (RFC 8949, section 3). */
const MAP_OF_22 = 0xb6;
const BYTES_U32 = 0x5a;
/** The text "data". */
const DATA_KEY = [0x64, 0x64, 0x61, 0x74, 0x61] as const;

/**
 * Returns the beginning of a frame up to its last value, `data`, so that these bytes are sent from where
 * they are: the frame is complete when `dataBytes` bytes follow.
 *
 * @param fields at most 21, without `data`.
 */
export function encodeFrameHead(fields: FrameFields, dataBytes: number): Uint8Array {
  const tailBytes = DATA_KEY.length + 5;
  const head = encodeMap(fields, { before: LENGTH_BYTES, after: tailBytes });
  const first = head[LENGTH_BYTES] ?? 0;
  if (first >= MAP_OF_22) throw new RangeError("the message has too many fields");
  const view = new DataView(head.buffer);
  view.setUint32(0, head.length - LENGTH_BYTES + dataBytes);
  head[LENGTH_BYTES] = first + 1;
  const keyAt = head.length - tailBytes;
  head.set(DATA_KEY, keyAt);
  head[keyAt + DATA_KEY.length] = BYTES_U32;
  view.setUint32(head.length - 4, dataBytes);
  return head;
}

/**
 * Splits a byte stream into the payloads of frames. It accepts chunks of any size.
 *
 * Its memory is bounded by the limit, and nothing is allocated for a length before its bytes have come in.
 */
export class VfsFrameReader {
  #limitBytes: number;
  readonly #length = new Uint8Array(LENGTH_BYTES);
  #lengthFilled = 0;
  #payloadBytes = 0;
  #collected: Uint8Array = new Uint8Array(0);
  #collectedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Changes the limit for the frames that are still to come. */
  limit(limitBytes: number): void {
    this.#limitBytes = limitBytes;
  }

  /** Memory of a frame that is not complete yet, in bytes. */
  get heldBytes(): number {
    return this.#collected.length;
  }

  /** Whether the input so far ends at the border of two frames. */
  get isAtBoundary(): boolean {
    return this.#lengthFilled === 0;
  }

  /**
   * Reads the next chunk and returns the payloads that it completes. They may be views of the chunk.
   *
   * @throws {VsockboxError} BAD_DATA for an empty frame or one above the limit; the reader is of no use
   * after.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    for (let at = 0; at < chunk.length;) {
      if (this.#lengthFilled < LENGTH_BYTES) {
        this.#length[this.#lengthFilled++] = chunk[at++] ?? 0;
        if (this.#lengthFilled === LENGTH_BYTES) this.#begin();
        continue;
      }
      const piece = chunk.subarray(at, at + this.#payloadBytes - this.#collectedBytes);
      at += piece.length;
      if (piece.length === this.#payloadBytes) {
        this.#lengthFilled = 0;
        yield piece;
        continue;
      }
      this.#collect(piece);
      if (this.#collectedBytes === this.#payloadBytes) yield this.#complete();
    }
  }

  #begin(): void {
    this.#payloadBytes = new DataView(this.#length.buffer).getUint32(0);
    const size = this.#payloadBytes;
    if (size > 0 && size <= this.#limitBytes) return;
    const message =
      size === 0
        ? "a frame is empty"
        : `a frame of ${size} bytes is above the limit of ${this.#limitBytes}`;
    throw new VsockboxError({ code: "BAD_DATA", operation: "read frame", message });
  }

  /** The buffer doubles as bytes arrive; only a small frame's is allocated at once. */
  #collect(piece: Uint8Array): void {
    const needed = this.#collectedBytes + piece.length;
    if (needed > this.#collected.length) {
      const least = Math.max(needed, this.#collected.length * 2, EAGER_BYTES);
      const grown = new Uint8Array(Math.min(this.#payloadBytes, least));
      grown.set(this.#collected.subarray(0, this.#collectedBytes));
      this.#collected = grown;
    }
    this.#collected.set(piece, this.#collectedBytes);
    this.#collectedBytes = needed;
  }

  #complete(): Uint8Array {
    const payload = this.#collected.subarray(0, this.#collectedBytes);
    this.#collected = new Uint8Array(0);
    this.#collectedBytes = 0;
    this.#lengthFilled = 0;
    return payload;
  }
}
