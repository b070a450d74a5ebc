/**
 * The agent's frame: `u8 type`, `u32 length` (big-endian), `length` bytes of payload. Bytes in,
 * frames out; no I/O.
 */
import { VsockboxError } from "../../errors.ts";
import { withArticle } from "../../text/article.ts";

/** u8 type + u32 length. */
export const FRAME_HEADER_BYTES = 5;

/** Largest payload that is accepted unless configured otherwise, in bytes; the wire allows 4 GiB. */
export const DEFAULT_MAX_FRAME_BYTES = 64 * 1024 * 1024;

/**
 * Largest Hello, and largest payload of any frame before the peer has shown that it may connect, in
 * bytes: a Hello has a list of features and a token.
 */
export const MAX_UNAUTHENTICATED_FRAME_BYTES = 64 * 1024;

/** Largest payload that we put into one frame of streamed data, in bytes. */
export const STREAM_FRAME_BYTES = 256 * 1024;

/** The buffer of a frame up to this size is allocated at once, in bytes. */
const EAGER_FRAME_BYTES = STREAM_FRAME_BYTES + 64;

/** Frame types that the Go agent has as well. */
export const GO_FRAME_TYPES = {
  Exec: 1,
  ExecResult: 2,
  Stdout: 3,
  Stderr: 4,
  Signal: 5,
  Ready: 6,
  Stdin: 7,
  Resize: 8,
  ExecTTY: 9,
  Exit: 10,
  ExecStream: 11,
  ExecPipe: 12,
  PortForward: 13,
  WriteFile: 14,
  ReadFile: 15,
  ListFiles: 16,
  FileResult: 17,
} as const;

/** Frame types of the channel multiplexer: channel-frames.ts. */
const CHANNEL_FRAME_TYPES = {
  Open: 65,
  Data: 66,
  Record: 67,
  Control: 68,
  Credit: 69,
  End: 70,
  Close: 71,
  Ping: 72,
  Pong: 73,
} as const;

/** Frame types of the agent protocol; those from 64 on are vsockbox's own, and are used only after a Hello. */
export const FrameType = {
  ...GO_FRAME_TYPES,
  Hello: 64,
  ...CHANNEL_FRAME_TYPES,
  Proof: 74,
} as const;

/** One of {@link FrameType}. */
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** The type of a frame of the channel multiplexer. */
export type ChannelFrameType = (typeof CHANNEL_FRAME_TYPES)[keyof typeof CHANNEL_FRAME_TYPES];

/** The types of frames that begin a session of the Go agent's protocol. */
const GO_REQUEST_TYPES = [
  FrameType.Exec,
  FrameType.ExecStream,
  FrameType.ExecPipe,
  FrameType.ExecTTY,
  FrameType.PortForward,
  FrameType.WriteFile,
  FrameType.ReadFile,
  FrameType.ListFiles,
] as const;

/** The type of a frame that begins a session of the Go agent's protocol. */
export type GoRequestType = (typeof GO_REQUEST_TYPES)[number];

declare const unknownFrameType: unique symbol;

/** A type byte of the wire that is not one of {@link FrameType}. */
export type UnknownFrameType = number & { readonly [unknownFrameType]: true };

const NAMES = new Map<number, string>(
  Object.entries(FrameType).map(([name, type]) => [type, name] as const),
);
const CHANNEL_NUMBERS: ReadonlySet<number> = new Set(Object.values(CHANNEL_FRAME_TYPES));
const GO_REQUEST_NUMBERS: ReadonlySet<number> = new Set(GO_REQUEST_TYPES);

/** Returns the frame type of a type byte. */
export function frameTypeOf(byte: number): FrameType | UnknownFrameType {
  return byte as FrameType | UnknownFrameType;
}

/** Returns whether a frame of this type belongs to the channel multiplexer. */
export function isChannelFrameType(type: number): type is ChannelFrameType {
  return CHANNEL_NUMBERS.has(type);
}

/** Returns whether a frame of this type begins a session of the Go agent's protocol. */
export function isGoRequestType(type: number): type is GoRequestType {
  return GO_REQUEST_NUMBERS.has(type);
}

/** Returns the frame type's name for messages; its number if it has none. */
export function frameName(type: number): string {
  return NAMES.get(type) ?? `type ${type}`;
}

/** Returns a frame with its article, for messages: `an Exec frame`. */
export function frameInWords(type: number): string {
  return `${withArticle(frameName(type))} frame`;
}

/**
 * Data frames are handed on piece by piece as they arrive: their size never has to be held, and
 * nothing is copied. Each has so many bytes in front of its data, which come with every piece.
 */
const STREAMED: ReadonlyMap<number, number> = new Map([
  [FrameType.Stdin, 0],
  [FrameType.Stdout, 0],
  [FrameType.Stderr, 0],
  [FrameType.Data, 5],
]);

const NO_BYTES = new Uint8Array(0);

/** A whole frame, or a piece of a data frame. */
export interface Frame {
  type: FrameType | UnknownFrameType;
  payload: Uint8Array;
  /** Length of the whole frame's payload in bytes; more than `payload` has if this is a piece. */
  frameBytes: number;
  /** What a Data frame has in front of its bytes (channel and stream); empty for all others. */
  prefix: Uint8Array;
}

/** A frame as it goes over the wire, header and payload in one buffer. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Uint8Array {
  return encodeRawFrame(type, payload);
}

/** A frame of any type, known or not: 0 to 255. */
export function encodeRawFrame(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** A frame whose payload is a JSON value. */
export function encodeJsonFrame(type: FrameType, value: unknown): Uint8Array {
  return encodeFrame(type, new TextEncoder().encode(JSON.stringify(value)));
}

/** A frame whose payload is one unsigned 32-bit number, big-endian (Exit). */
export function encodeU32Frame(type: FrameType, value: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, value);
  return encodeFrame(type, payload);
}

/**
 * Splits a byte stream into frames. It accepts chunks of any size with {@link push}; report with
 * {@link finish} that no more will come.
 *
 * Its memory is bounded by the frame limit, and nothing is allocated for a length before its
 * bytes have come in.
 */
export class FrameDecoder {
  #maxFrameBytes: number;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  #type: FrameType | UnknownFrameType = frameTypeOf(0);
  #frameBytes = 0;
  #missing = 0;
  #collected = new Uint8Array(0);
  #collectedBytes = 0;
  #rest: Uint8Array = NO_BYTES;
  #prefix: Uint8Array = NO_BYTES;

  constructor({ maxFrameBytes = DEFAULT_MAX_FRAME_BYTES } = {}) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Changes the limit for the frames that are still to come. */
  limit(maxFrameBytes: number): void {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Memory of a frame that is not complete yet, in bytes. */
  get heldBytes(): number {
    return this.#collected.length;
  }

  /**
   * Bytes that are missing from the present header, or after it from the payload. A reader that reads no more
   * at once leaves the bytes after the frame unread.
   */
  get missingBytes(): number {
    const headerBytes = FRAME_HEADER_BYTES - this.#headerFilled;
    return headerBytes === 0 ? this.#missing : headerBytes;
  }

  /** Whether a header has come in whose payload has not, or only in part. */
  get isInPayload(): boolean {
    return this.#headerFilled === FRAME_HEADER_BYTES;
  }

  /** The type of a frame without its whole payload. */
  get pendingType(): FrameType | UnknownFrameType | undefined {
    return this.isInPayload ? this.#type : undefined;
  }

  /** Whether the input so far ends at the border of two frames. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0;
  }

  /**
   * Reads the next chunk and returns the frames that it completes. Payloads may be views of the chunk.
   *
   * @throws {VsockboxError} BAD_DATA for a length above the limit; the decoder is of no use after.
   */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    this.#rest = chunk;
    while (this.#rest.length > 0) {
      if (this.#headerFilled < FRAME_HEADER_BYTES) {
        this.#rest = this.#takeHeader(this.#rest);
        if (this.#headerFilled < FRAME_HEADER_BYTES) return;
        if (this.#frameBytes === 0) yield this.#complete(new Uint8Array(0));
        continue;
      }
      const piece = this.#takePiece();
      this.#missing -= piece.length;
      const prefixBytes = STREAMED.get(this.#type);
      if (prefixBytes !== undefined && this.#frameBytes >= prefixBytes) {
        yield* this.#onPiece(piece, prefixBytes);
      } else if (piece.length === this.#frameBytes) {
        yield this.#complete(piece);
      } else {
        this.#collect(piece);
        if (this.#missing === 0) yield this.#complete(this.#collected);
      }
    }
  }

  /**
   * Returns and removes the bytes of the last chunk after the last frame, for a session that continues
   * with raw bytes. {@link push} returns nothing afterwards.
   */
  takeRest(): Uint8Array {
    const rest = this.#rest;
    this.#rest = new Uint8Array(0);
    return rest;
  }

  /**
   * Reports the end of input.
   *
   * @throws {VsockboxError} TRANSPORT if it ended inside a frame, with the number of missing bytes.
   */
  finish(): void {
    if (this.atBoundary) return;
    const message =
      this.#headerFilled < FRAME_HEADER_BYTES
        ? `the connection ended inside a frame header: ${FRAME_HEADER_BYTES - this.#headerFilled} of ${FRAME_HEADER_BYTES} bytes are missing`
        : `the connection ended inside ${frameInWords(this.#type)}: ${this.#missing} of ${this.#frameBytes} bytes are missing`;
    throw new VsockboxError({ code: "TRANSPORT", operation: "read frame", message });
  }

  /** What is there of the present frame. Most chunks are within one: a view of each would cost more. */
  #takePiece(): Uint8Array {
    const rest = this.#rest;
    if (rest.length <= this.#missing) {
      this.#rest = NO_BYTES;
      return rest;
    }
    this.#rest = rest.subarray(this.#missing);
    return rest.subarray(0, this.#missing);
  }

  #takeHeader(rest: Uint8Array): Uint8Array {
    const part = rest.subarray(0, FRAME_HEADER_BYTES - this.#headerFilled);
    this.#header.set(part, this.#headerFilled);
    this.#headerFilled += part.length;
    if (this.#headerFilled === FRAME_HEADER_BYTES) {
      this.#type = frameTypeOf(this.#header[0] ?? 0);
      this.#frameBytes = this.#headerView.getUint32(1);
      this.#missing = this.#frameBytes;
      const maxBytes = this.#maxBytes();
      if (this.#frameBytes > maxBytes) throw this.#tooLarge(maxBytes);
    }
    return rest.subarray(part.length);
  }

  #maxBytes(): number {
    const { Hello } = FrameType;
    return this.#type === Hello
      ? Math.min(this.#maxFrameBytes, MAX_UNAUTHENTICATED_FRAME_BYTES)
      : this.#maxFrameBytes;
  }

  *#onPiece(piece: Uint8Array, prefixBytes: number): Generator<Frame, void, undefined> {
    const missingPrefixBytes = prefixBytes - this.#prefix.length;
    let payload = piece;
    if (missingPrefixBytes > 0) {
      this.#prefix = Buffer.concat([this.#prefix, piece.subarray(0, missingPrefixBytes)]);
      payload = piece.subarray(missingPrefixBytes);
    }
    const isWhole = this.#missing === 0;
    if (payload.length > 0 || isWhole) {
      yield { type: this.#type, payload, frameBytes: this.#frameBytes, prefix: this.#prefix };
    }
    if (isWhole) this.#reset();
  }

  #reset(): void {
    this.#headerFilled = 0;
    this.#prefix = NO_BYTES;
  }

  /** The buffer doubles as bytes arrive; only a small frame's is allocated at once. */
  #collect(piece: Uint8Array): void {
    const needed = this.#collectedBytes + piece.length;
    if (needed > this.#collected.length) {
      const least = Math.max(needed, this.#collected.length * 2, EAGER_FRAME_BYTES);
      const grown = new Uint8Array(Math.min(this.#frameBytes, least));
      grown.set(this.#collected.subarray(0, this.#collectedBytes));
      this.#collected = grown;
    }
    this.#collected.set(piece, this.#collectedBytes);
    this.#collectedBytes = needed;
  }

  #complete(payload: Uint8Array): Frame {
    this.#collected = new Uint8Array(0);
    this.#collectedBytes = 0;
    this.#reset();
    return { type: this.#type, payload, frameBytes: this.#frameBytes, prefix: NO_BYTES };
  }

  #tooLarge(maxBytes: number): FrameTooLargeError {
    return new FrameTooLargeError(this.#type, this.#frameBytes, maxBytes);
  }
}

/** A frame above the limit, of which nothing but its header has been read. */
export class FrameTooLargeError extends VsockboxError {
  readonly frameType: FrameType | UnknownFrameType;

  constructor(type: FrameType | UnknownFrameType, frameBytes: number, maxBytes: number) {
    super({
      code: "BAD_DATA",
      operation: "read frame",
      message: `${frameInWords(type)} of ${frameBytes} bytes is above the limit of ${maxBytes}`,
    });
    this.frameType = type;
  }
}
