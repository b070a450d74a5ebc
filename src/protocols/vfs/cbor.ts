/**
 * CBOR (RFC 8949) as the VFS protocol has it: one map of definite length with text keys. `cborg` reads
 * and writes the items; what a hostile peer could make expensive is bounded here before anything is
 * allocated: nesting, the count of items, and lengths above the bytes that follow. Byte strings are
 * views of the frame, not copies.
 */
import { decode, encode, Token, Tokenizer, Type } from "cborg";
import { VsockboxError } from "../../errors.ts";

/** Text that is not UTF-8: the frame is whole, so that its request can be answered with an errno. */
export const INVALID_TEXT = Symbol("text that is not UTF-8");

/** A value of a map, as it was decoded. */
export type CborValue =
  | number
  | bigint
  | boolean
  | null
  | undefined
  | string
  | Uint8Array
  | typeof INVALID_TEXT
  | readonly CborValue[]
  | ReadonlyMap<string, CborValue>;

/** A decoded map. */
export type CborMap = ReadonlyMap<string, CborValue>;

/** A value that can be encoded. Integers above 2^53 are bigints. */
export type Encodable =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly Encodable[]
  | { readonly [key: string]: Encodable | undefined };

/** Maps and arrays in each other: entries of a directory are maps in an array in a map. */
const MAX_DEPTH = 4;

/** Items (keys, values and containers) of one frame, unless the caller expects more. */
const MAX_ITEMS = 256;

const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;

const fatalText = new TextDecoder("utf-8", { fatal: true });

/** Longest text that is read without the decoder, in bytes: keys. */
const SHORT_TEXT_BYTES = 16;

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read frame", message });
}

function readText(bytes: Uint8Array): string | typeof INVALID_TEXT {
  if (bytes.length <= SHORT_TEXT_BYTES && bytes.every((byte) => byte < 0x80)) {
    return String.fromCharCode(...bytes);
  }
  try {
    return fatalText.decode(bytes);
  } catch {
    return INVALID_TEXT;
  }
}

/** The tokens of a frame within the bounds. */
class BoundedTokens extends Tokenizer {
  readonly #bytes: Uint8Array;
  readonly #maxItems: number;
  /** Items that are missing in each open container, the innermost last. */
  readonly #missing: number[] = [];
  #items = 0;

  constructor(bytes: Uint8Array, maxItems: number) {
    super(bytes, {
      ...{ allowBigInt: true, allowIndefinite: false, allowNaN: false, allowInfinity: false },
    });
    this.#bytes = bytes;
    this.#maxItems = maxItems;
  }

  override next(): Token {
    if (++this.#items > this.#maxItems) throw bad(`it has more than ${this.#maxItems} items`);
    const major = (this.#bytes[this._pos] ?? 0) >>> 5;
    const token =
      major === MAJOR_BYTES || major === MAJOR_TEXT ? this.#string(major) : super.next();
    this.#count(token);
    return token;
  }

  #string(major: number): Token {
    const minor = (this.#bytes[this._pos] ?? 0) & 31;
    const headBytes = minor < 24 ? 1 : 1 + 2 ** (minor - 24);
    if (minor > 27) throw bad("a string has no definite length");
    if (this._pos + headBytes > this.#bytes.length) throw bad("it ends inside a length");
    let length = minor;
    if (minor >= 24) {
      length = 0;
      for (let i = 1; i < headBytes; i++) {
        length = length * 256 + (this.#bytes[this._pos + i] ?? 0);
      }
    }
    const begin = this._pos + headBytes;
    if (length > this.#bytes.length - begin) throw bad("a string is longer than the frame");
    const bytes = this.#bytes.subarray(begin, begin + length);
    this._pos = begin + length;
    return major === MAJOR_BYTES
      ? new Token(Type.bytes, bytes, headBytes + length)
      : new Token(Type.string, readText(bytes), headBytes + length);
  }

  #count(token: Token): void {
    const innermost = this.#missing.length - 1;
    const missing = this.#missing[innermost];
    if (missing !== undefined) this.#missing[innermost] = missing - 1;
    const isMap = token.type === Type.map;
    if (isMap || token.type === Type.array) {
      const count: unknown = token.value;
      if (typeof count !== "number" || !Number.isSafeInteger(count))
        throw bad("a length is unknown");
      const items = isMap ? 2 * count : count;
      if (items > this.#bytes.length - this._pos)
        throw bad("a map or array is longer than the frame");
      this.#missing.push(items);
      if (this.#missing.length > MAX_DEPTH) throw bad(`it is nested more than ${MAX_DEPTH} deep`);
    }
    while (this.#missing.at(-1) === 0) this.#missing.pop();
  }
}

/**
 * Decodes the payload of a frame. Byte strings are views of it.
 *
 * @param maxItems bound of keys, values and containers together.
 * @throws {VsockboxError} BAD_DATA if it is not one whole map of definite length within the bounds.
 */
export function decodeMap(payload: Uint8Array, maxItems: number = MAX_ITEMS): CborMap {
  let value: unknown;
  try {
    value = decode(payload, {
      tokenizer: new BoundedTokens(payload, maxItems),
      useMaps: true,
      rejectDuplicateMapKeys: true,
    });
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    throw bad(thrown instanceof Error ? thrown.message : "it is not CBOR");
  }
  if (!(value instanceof Map)) throw bad("it is not a map");
  return value as CborMap;
}

/** Encodes a map; keys whose value is undefined are absent. */
export function encodeMap(fields: { readonly [key: string]: Encodable | undefined }): Uint8Array {
  return encode(fields, { ignoreUndefinedProperties: true });
}
