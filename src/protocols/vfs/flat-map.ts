/**
 * Reads maps of definite length, without nesting, whose keys are short and whose values are integers,
 * byte strings and texts: nearly every message. Everything else, and everything that is wrong, is left to
 * the decoder of all of CBOR.
 */
import { type CborMap, type CborValue, readText } from "./cbor-values.ts";

const MAJOR_UINT = 0;
const MAJOR_NEGINT = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_MAP = 5;

/** Arguments from here on are in the bytes that follow (RFC 8949, section 3). */
const LONG_ARGUMENT = 24;
const WORD = 2 ** 32;

/** Keys of up to four bytes by these bytes, so that most keys are not read anew. */
const knownKeys = new Map<number, string>();
const MAX_KNOWN_KEYS = 256;

/** Reads a key; undefined if it is not ASCII. */
function readKey(bytes: Uint8Array, at: number, length: number): string | undefined {
  let number = length;
  for (let index = at; index < at + length; index++) {
    const byte = bytes[index] ?? 0;
    if (byte >= 0x80) return undefined;
    number = number * 128 + byte;
  }
  // The length and four characters of 7 bits: no two keys have one number.
  const known = length <= 4 ? knownKeys.get(number) : undefined;
  if (known !== undefined) return known;
  const key = String.fromCharCode(...bytes.subarray(at, at + length));
  if (length <= 4 && knownKeys.size < MAX_KNOWN_KEYS) knownKeys.set(number, key);
  return key;
}

/** Bytes of an argument after the first one; undefined for those of indefinite or reserved lengths. */
function argumentBytes(minor: number): number | undefined {
  if (minor < LONG_ARGUMENT) return 0;
  return minor <= 27 ? 2 ** (minor - LONG_ARGUMENT) : undefined;
}

/** Reads an argument; 8 bytes as far as a number has them exactly. */
function readArgument(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let index = at; index < at + size; index++) value = value * 256 + (bytes[index] ?? 0);
  return value;
}

/**
 * Decodes a flat map. Byte strings are views.
 *
 * @param maxItems bound of keys, values and the map together.
 * @returns undefined if it is not such a map.
 */
export function decodeFlatMap(bytes: Uint8Array, maxItems: number): CborMap | undefined {
  const first = bytes[0] ?? 0;
  const count = first & 31;
  if (first >>> 5 !== MAJOR_MAP || count >= LONG_ARGUMENT || 1 + 2 * count > maxItems) {
    return undefined;
  }
  const map = new Map<string, CborValue>();
  let at = 1;
  for (let index = 0; index < count; index++) {
    const keyHead = bytes[at] ?? 0;
    const keyBytes = keyHead & 31;
    const valueAt = at + 1 + keyBytes;
    if (keyHead >>> 5 !== MAJOR_TEXT || keyBytes >= LONG_ARGUMENT) return undefined;
    if (valueAt >= bytes.length) return undefined;
    const key = readKey(bytes, at + 1, keyBytes);
    const head = bytes[valueAt] ?? 0;
    const size = argumentBytes(head & 31);
    if (key === undefined || size === undefined) return undefined;
    at = valueAt + 1 + size;
    if (at > bytes.length) return undefined;
    const argument = size === 0 ? head & 31 : readArgument(bytes, valueAt + 1, size);
    if (argument >= WORD * 0x20_0000) return undefined;
    switch (head >>> 5) {
      case MAJOR_UINT:
        map.set(key, argument);
        break;
      case MAJOR_NEGINT:
        map.set(key, -1 - argument);
        break;
      case MAJOR_BYTES:
      case MAJOR_TEXT: {
        const end = at + argument;
        if (end > bytes.length) return undefined;
        const value = bytes.subarray(at, end);
        map.set(key, head >>> 5 === MAJOR_BYTES ? value : readText(value));
        at = end;
        break;
      }
      default:
        return undefined;
    }
  }
  // A key twice is an error of the other decoder.
  return at === bytes.length && map.size === count ? map : undefined;
}
