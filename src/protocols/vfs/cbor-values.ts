/** Values of the VFS protocol's maps, as they are decoded and encoded. */

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

const fatalText = new TextDecoder("utf-8", { fatal: true });

/** Longest text that is read without the decoder, in bytes: keys. */
const SHORT_TEXT_BYTES = 16;

/** Reads a text; the bytes are not copied. */
export function readText(bytes: Uint8Array): string | typeof INVALID_TEXT {
  if (bytes.length <= SHORT_TEXT_BYTES && bytes.every((byte) => byte < 0x80)) {
    return String.fromCharCode(...bytes);
  }
  try {
    return fatalText.decode(bytes);
  } catch {
    return INVALID_TEXT;
  }
}
