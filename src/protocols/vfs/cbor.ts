/**
 * CBOR (RFC 8949) as the VFS protocol has it: one map of definite length with text keys. Flat maps, which
 * most messages are, are read and written here, since each operation of a guest needs four of them;
 * `cborg` does the others. What a hostile peer could make expensive is bounded before anything is
 * allocated: nesting, the count of items, and lengths above the bytes that follow. Byte strings are
 * views of the frame, not copies.
 */
import { decode, encode, type EncodeOptions, Token, Tokenizer, Type } from "cborg";
import { VsockboxError } from "../../errors.ts";
import { type CborMap, type Encodable, readText } from "./cbor-values.ts";
import { decodeFlatMap } from "./flat-map.ts";

/** Maps and arrays in each other: entries of a directory are maps in an array in a map. */
const MAX_DEPTH = 4;

/** Items (keys, values and containers) of one frame, unless the caller expects more. */
const MAX_ITEMS = 256;

const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read frame", message });
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
    const prefixBytes = minor < 24 ? 1 : 1 + 2 ** (minor - 24);
    if (minor > 27) throw bad("a string has no definite length");
    if (this._pos + prefixBytes > this.#bytes.length) throw bad("it ends inside a length");
    let length = minor;
    if (minor >= 24) {
      length = 0;
      for (let i = 1; i < prefixBytes; i++) {
        length = length * 256 + (this.#bytes[this._pos + i] ?? 0);
      }
    }
    const begin = this._pos + prefixBytes;
    if (length > this.#bytes.length - begin) throw bad("a string is longer than the frame");
    const bytes = this.#bytes.subarray(begin, begin + length);
    this._pos = begin + length;
    return major === MAJOR_BYTES
      ? new Token(Type.bytes, bytes, prefixBytes + length)
      : new Token(Type.string, readText(bytes), prefixBytes + length);
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
  const flat = decodeFlatMap(payload, maxItems);
  if (flat !== undefined) return flat;
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

/** Nested maps have the order of their fields as well. */
const NESTED: EncodeOptions = { ignoreUndefinedProperties: true, mapSorter: () => 0 };

/** Items that are written here, or encoded already. */
type FlatValue = number | bigint | boolean | Uint8Array | { readonly encoded: Uint8Array };

/**
 * Encodes a map in the order of its fields; keys whose value is undefined are absent.
 *
 * @param fields at most 23; keys have at most 23 characters, of ASCII.
 * @param space bytes that are left free before and after the map.
 */
export function encodeMap(
  fields: { readonly [key: string]: Encodable | undefined },
  space: { before: number; after: number } = { before: 0, after: 0 },
): Uint8Array {
  const items: (string | FlatValue)[] = [];
  let bytes = 1;
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    const flat = flatten(value);
    items.push(key, flat);
    bytes += 1 + key.length + sizeOf(flat);
  }
  if (items.length > 2 * MAX_FIELDS) throw new RangeError("the message has too many fields");
  const writer = new MapWriter(space.before + bytes + space.after, space.before);
  writer.head(MAJOR_MAP, items.length / 2);
  for (let index = 0; index < items.length; index += 2) {
    writer.key(items[index] as string);
    writer.value(items[index + 1] as FlatValue);
  }
  return writer.bytes;
}

/** Fields of a map whose length is in its first byte. */
const MAX_FIELDS = 23;
const MAJOR_UINT = 0;
const MAJOR_NEGINT = 1;
const MAJOR_MAP = 5;
const TRUE = 0xf5;
const FALSE = 0xf4;

function flatten(value: Encodable): FlatValue {
  if (value instanceof Uint8Array || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  if (typeof value === "bigint" && value >= 0n) return value;
  return { encoded: encode(value, NESTED) };
}

/** Bytes of a head with an argument. */
function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x1_0000) return 3;
  return argument < 0x1_0000_0000 ? 5 : 9;
}

function sizeOf(value: FlatValue): number {
  if (typeof value === "number") return headBytes(value < 0 ? -1 - value : value);
  if (typeof value === "bigint") return 9;
  if (typeof value === "boolean") return 1;
  if (value instanceof Uint8Array) return headBytes(value.length) + value.length;
  return value.encoded.length;
}

/** Writes the items of one map (RFC 8949, section 3). */
class MapWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: number, at: number) {
    this.bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.bytes.buffer);
    this.#at = at;
  }

  head(major: number, argument: number): void {
    const at = this.#at;
    const first = major << 5;
    const size = headBytes(argument);
    this.#at = at + size;
    if (size === 1) this.bytes[at] = first | argument;
    else if (size === 2) this.#view.setUint16(at, ((first | 24) << 8) | argument);
    else if (size === 3) {
      this.bytes[at] = first | 25;
      this.#view.setUint16(at + 1, argument);
    } else if (size === 5) {
      this.bytes[at] = first | 26;
      this.#view.setUint32(at + 1, argument);
    } else {
      this.bytes[at] = first | 27;
      this.#view.setUint32(at + 1, argument / 0x1_0000_0000);
      this.#view.setUint32(at + 5, argument >>> 0);
    }
  }

  key(key: string): void {
    this.bytes[this.#at++] = (MAJOR_TEXT << 5) | key.length;
    for (let index = 0; index < key.length; index++) {
      this.bytes[this.#at++] = key.charCodeAt(index);
    }
  }

  value(value: FlatValue): void {
    if (typeof value === "number") {
      if (value < 0) this.head(MAJOR_NEGINT, -1 - value);
      else this.head(MAJOR_UINT, value);
    } else if (typeof value === "bigint") {
      this.bytes[this.#at] = 27;
      this.#view.setBigUint64(this.#at + 1, value);
      this.#at += 9;
    } else if (typeof value === "boolean") {
      this.bytes[this.#at++] = value ? TRUE : FALSE;
    } else if (value instanceof Uint8Array) {
      this.head(MAJOR_BYTES, value.length);
      this.#copy(value);
    } else this.#copy(value.encoded);
  }

  #copy(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}
