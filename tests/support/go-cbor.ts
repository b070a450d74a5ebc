/** CBOR as the Go programs of the VFS protocol write it: the keys of a structure in its order (RFC 8949). */

/** A value of a message. Bytes in `text` are a text that need not be UTF-8. */
export type GoValue =
  | number
  | bigint
  | string
  | boolean
  | Uint8Array
  | { readonly text: Uint8Array }
  | { readonly list: readonly Buffer[] }
  | { readonly encoded: Buffer };

/** A key and its value. */
export type GoPair = readonly [string, GoValue];

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5 } as const;
const TRUE = 0xf5;
const FALSE = 0xf4;

function head(major: number, value: number | bigint): Buffer {
  const number = BigInt(value);
  const first = major << 5;
  if (number < 24n) return Buffer.from([first | Number(number)]);
  const sizes = [1, 2, 4, 8] as const;
  const index = sizes.findIndex((size) => number < 1n << BigInt(8 * size));
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(number);
  return Buffer.concat([
    Buffer.from([first | (24 + index)]),
    bytes.subarray(8 - (sizes[index] ?? 8)),
  ]);
}

function strung(major: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([head(major, bytes.length), bytes]);
}

function item(value: GoValue): Buffer {
  if (typeof value === "string") return strung(MAJOR.text, Buffer.from(value));
  if (typeof value === "boolean") return Buffer.from([value ? TRUE : FALSE]);
  if (value instanceof Uint8Array) return strung(MAJOR.bytes, value);
  if (typeof value !== "object") {
    return value < 0 ? head(MAJOR.negative, -1n - BigInt(value)) : head(MAJOR.unsigned, value);
  }
  if ("text" in value) return strung(MAJOR.text, value.text);
  if ("encoded" in value) return value.encoded;
  return Buffer.concat([head(MAJOR.list, value.list.length), ...value.list]);
}

function isZero(value: GoValue): boolean {
  if (typeof value !== "object") return value === 0 || value === 0n || value === "" || !value;
  if (value instanceof Uint8Array) return value.length === 0;
  return "list" in value && value.list.length === 0;
}

/** A field that is omitted when it is zero or empty. */
export function goField(key: string, value: GoValue | undefined): GoPair[] {
  return value === undefined || isZero(value) ? [] : [[key, value]];
}

/** A map of these fields. */
export function goMap(pairs: readonly GoPair[]): Buffer {
  const items = pairs.flatMap(([key, value]) => [item(key), item(value)]);
  return Buffer.concat([head(MAJOR.map, pairs.length), ...items]);
}
