/** Typed values of a decoded map: each field has its key, how it is read and how it is written. */
import { VsockboxError } from "../../errors.ts";
import type { FileTime } from "../../file-stat.ts";
import { type CborValue, type Encodable, INVALID_TEXT } from "./cbor-values.ts";

/** Errnos of refused fields, errno(3). */
export const EINVAL = 22;
const ENAMETOOLONG = 36;
const EILSEQ = 84;

/**
 * Bytes of a path. It may exceed PATH_MAX, since a program reaches a file below such a path by names relative
 * to a directory that it is in.
 */
export const MAX_PATH_BYTES = 65_536;
/** NAME_MAX, linux/limits.h; XATTR_NAME_MAX is the same. */
const NAME_MAX = 255;

/** A request whose frame is whole and whose content is refused: its answer is `errno`. */
export class RefusedField extends VsockboxError {
  /** Positive. */
  readonly number: number;

  constructor(message: string, number: number = EINVAL) {
    super({ code: "BAD_DATA", operation: "read request", message });
    this.number = number;
  }
}

/** A field of a message. */
export interface Field<Value> {
  readonly key: string;
  /** Whether it may be absent, and is undefined then. */
  readonly isOptional: boolean;
  /** @throws {RefusedField} */
  read(value: CborValue): Value;
  write(value: Value): Encodable;
}

/** A field that may be absent. */
export interface OptionalField<Value> extends Field<Value> {
  readonly isOptional: true;
}

/** The same field, which may be absent. */
export function optional<Value>(field: Field<Value>): OptionalField<Value> {
  return { ...field, isOptional: true };
}

function required<Value>(
  key: string,
  read: (value: CborValue) => Value,
  write: (value: Value) => Encodable,
): Field<Value> & { readonly isOptional: false } {
  return { key, isOptional: false, read, write };
}

/** An integer between two bounds. */
export function integerIn(key: string, max: number, min = 0) {
  const read = (value: CborValue): number => {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) {
      return value;
    }
    throw new RefusedField(`${key} is not an integer from ${min} to ${max}`);
  };
  return required(key, read, (value) => value);
}

const U32_MAX = 2 ** 32 - 1;

/** An unsigned integer of 32 bits. */
export function u32(key: string) {
  return integerIn(key, U32_MAX);
}

/** An offset or a size in a file: up to 2^53 - 1 bytes. */
export function offset(key: string) {
  return integerIn(key, Number.MAX_SAFE_INTEGER);
}

const U64_MAX = 2n ** 64n - 1n;

/** An unsigned integer of 64 bits, as a bigint. */
export function u64(key: string) {
  const read = (value: CborValue): bigint => {
    const isInteger = typeof value === "bigint" || Number.isSafeInteger(value);
    const number = isInteger ? BigInt(value as number | bigint) : -1n;
    if (number >= 0n && number <= U64_MAX) return number;
    throw new RefusedField(`${key} is not an unsigned integer`);
  };
  return required(key, read, (value) => value);
}

/** Bytes up to a size. @param errno of longer ones. */
export function bytes(key: string, maxBytes: number, errno: number = EINVAL) {
  const read = (value: CborValue): Uint8Array => {
    if (!(value instanceof Uint8Array)) throw new RefusedField(`${key} is not a byte string`);
    if (value.length > maxBytes) throw new RefusedField(`${key} exceeds ${maxBytes} bytes`, errno);
    return value;
  };
  return required(key, read, (value) => value);
}

/** Text up to a length. */
export function text(key: string, maxLength: number) {
  const read = (value: CborValue): string => {
    if (value === INVALID_TEXT) throw new RefusedField(`${key} is not UTF-8`, EILSEQ);
    if (typeof value !== "string") throw new RefusedField(`${key} is not text`);
    if (value.length > maxLength) throw new RefusedField(`${key} is too long`, ENAMETOOLONG);
    return value;
  };
  return required(key, read, (value) => value);
}

/** A list of short texts. */
export function texts(key: string, maxCount: number, maxLength: number) {
  const one = text(key, maxLength);
  const read = (value: CborValue): readonly string[] => {
    if (!Array.isArray(value)) throw new RefusedField(`${key} is not a list`);
    const list: readonly CborValue[] = value;
    if (list.length > maxCount) throw new RefusedField(`${key} has more than ${maxCount} entries`);
    return list.map(one.read);
  };
  return required(key, read, (value) => value);
}

/** `true` or `false`. */
export function booleanAt(key: string) {
  const read = (value: CborValue): boolean => {
    if (typeof value === "boolean") return value;
    throw new RefusedField(`${key} is not true or false`);
  };
  return required(key, read, (value) => value);
}

const SLASH = 0x2f;
const DOT = 0x2e;

function isDots(bytesOfPath: Uint8Array, begin: number, end: number): boolean {
  if (end - begin > 2 || bytesOfPath[begin] !== DOT) return false;
  return end - begin === 1 || bytesOfPath[begin + 1] === DOT;
}

/**
 * Checks a path below the root of an export: names joined by single slashes, none of them `.` or `..`;
 * empty for the root itself.
 *
 * @throws {RefusedField} EINVAL or ENAMETOOLONG.
 */
export function checkPath(relative: Uint8Array): Uint8Array {
  if (relative.length === 0) return relative;
  if (relative.length > MAX_PATH_BYTES) throw new RefusedField("a path is too long", ENAMETOOLONG);
  for (let begin = 0; begin <= relative.length;) {
    const slash = relative.indexOf(SLASH, begin);
    const end = slash === -1 ? relative.length : slash;
    if (end === begin) throw new RefusedField("a path has an empty name");
    if (end - begin > NAME_MAX) throw new RefusedField("a name is too long", ENAMETOOLONG);
    if (isDots(relative, begin, end)) throw new RefusedField("a path contains `.` or `..`");
    begin = end + 1;
  }
  if (relative.includes(0)) throw new RefusedField("a path contains a NUL byte");
  return relative;
}

/** A path below the root: see {@link checkPath}. */
export function pathField(key: string) {
  const field = bytes(key, MAX_PATH_BYTES, ENAMETOOLONG);
  return required(key, (value) => checkPath(field.read(value)), field.write);
}

/** Bytes for a call that reads up to a NUL byte, such as the target of a symbolic link. */
export function cText(key: string, maxBytes: number) {
  const field = bytes(key, maxBytes);
  const read = (value: CborValue): Uint8Array => {
    const found = field.read(value);
    if (found.length === 0 || found.includes(0)) {
      throw new RefusedField(`${key} is empty or contains a NUL byte`);
    }
    return found;
  };
  return required(key, read, field.write);
}

/** In place of nanoseconds: the server's own clock, UTIME_NOW of linux/stat.h. */
export const UTIME_NOW = 0x3fff_ffff;

/** A time as `[seconds, nanoseconds]`. */
export function time(key: string) {
  const seconds = integerIn(key, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER);
  const nanoseconds = integerIn(key, UTIME_NOW);
  const read = (value: CborValue): FileTime => {
    if (!Array.isArray(value) || value.length !== 2) {
      throw new RefusedField(`${key} is not a pair of seconds and nanoseconds`);
    }
    const [whole, part]: readonly CborValue[] = value;
    const found = { seconds: seconds.read(whole), nanoseconds: nanoseconds.read(part) };
    if (found.nanoseconds < 1_000_000_000 || found.nanoseconds === UTIME_NOW) return found;
    throw new RefusedField(`${key} has ${found.nanoseconds} nanoseconds`);
  };
  return required(key, read, (value) => [value.seconds, value.nanoseconds]);
}

/** The value that a field has in a decoded message. */
type ValueOf<One> =
  One extends OptionalField<infer Value>
    ? Value | undefined
    : One extends Field<infer Value>
      ? Value
      : never;

/** The message of a table of fields. Optional fields need not be given. */
export type MessageOf<Table> = {
  [Name in keyof Table as Table[Name] extends OptionalField<unknown> ? never : Name]: ValueOf<
    Table[Name]
  >;
} & {
  [Name in keyof Table as Table[Name] extends OptionalField<unknown> ? Name : never]?: ValueOf<
    Table[Name]
  >;
};
