/**
 * The Go dialect: one request and its answer at a time, absolute paths as text, handles of the server,
 * and keys that are absent when they are zero.
 */
import { decodeMap } from "./cbor.ts";
import { type CborMap, type CborValue, type Encodable, INVALID_TEXT } from "./cbor-values.ts";
import { bytes, booleanAt, integerIn, RefusedField, text, u32, u64 } from "./fields.ts";
import { encodeVfsFrame } from "./frame.ts";
import { GO_OPERATIONS, type GoOperation, MAX_FRAME_BYTES } from "./operations.ts";

/** PATH_MAX of linux/limits.h, and what a mount point adds to it, in UTF-16 units. */
const MAX_PATH_LENGTH = 2 * 4096;

/** Entries of one listing that are read; the peer sends a whole directory in one frame. */
const MAX_ENTRIES = 200_000;
/** Keys and values of an entry, itself, and the rest of the message, at most. */
const ITEMS_OF_ENTRY = 16;

/** Largest listing that is read, in bytes: so many entries with names of 100 bytes. */
export const MAX_LISTING_BYTES = 32 * 1024 * 1024;

const ENOSYS = 38;
const ERRNO_MAX = 4095;

/** A request of the Go dialect. Keys that are absent are zero or empty. */
export interface GoRequest {
  op: GoOperation;
  path: string;
  newPath: string;
  handle: number;
  /** Offset of a read or write; the size of truncate. */
  offset: number;
  size: number;
  data: Uint8Array;
  /** Linux's flags of open(2), O_LARGEFILE included. */
  flags: number;
  /** A Unix mode; that of a guest of ours has Go's special bits as well. */
  mode: number;
}

/** Facts of a file in the Go dialect. */
export interface GoStat {
  size: number;
  /** Go's mode: go-mode.ts. */
  mode: number;
  /** In seconds. */
  mtime: number;
  isDirectory: boolean;
  ino: bigint;
}

/** An entry of a listing in the Go dialect. */
export interface GoEntry {
  name: string;
  isDirectory: boolean;
  /** The type's bits of Go's mode alone. */
  mode: number;
  size: number;
  ino: bigint;
}

/** An answer in the Go dialect. */
export interface GoResponse {
  /** 0, or a positive errno. */
  errno: number;
  stat?: GoStat | undefined;
  data?: Uint8Array | undefined;
  written?: number | undefined;
  handle?: number | undefined;
  entries?: readonly GoEntry[] | undefined;
}

const NAME_BY_NUMBER = new Map(
  Object.entries(GO_OPERATIONS).map(([name, number]) => [number as number, name as GoOperation]),
);

const NUMBER = u32("op");
const PATH = text("path", MAX_PATH_LENGTH);
const NEW_PATH = text("new_path", MAX_PATH_LENGTH);
const HANDLE = integerIn("fh", Number.MAX_SAFE_INTEGER);
const OFFSET = integerIn("off", Number.MAX_SAFE_INTEGER);
const SIZE = u32("sz");
const DATA = bytes("data", MAX_FRAME_BYTES);
const FLAGS = u32("flags");
const MODE = u32("mode");
const EMPTY = new Uint8Array(0);

function readOr<Value>(
  map: CborMap,
  field: { readonly key: string; readonly read: (value: CborValue) => Value },
  absent: Value,
): Value {
  const value = map.get(field.key);
  return value === undefined ? absent : field.read(value);
}

/** A request of the Go dialect, or the errno to answer it with. */
export type DecodedGoRequest = { readonly request: GoRequest } | { readonly errno: number };

/** Reads the map of a request. Byte strings are views of the payload. */
export function readGoRequest(map: CborMap): DecodedGoRequest {
  try {
    const op = NAME_BY_NUMBER.get(NUMBER.read(map.get(NUMBER.key)));
    if (op === undefined) return { errno: ENOSYS };
    const request = {
      op,
      path: readOr(map, PATH, ""),
      newPath: readOr(map, NEW_PATH, ""),
      handle: readOr(map, HANDLE, 0),
      offset: readOr(map, OFFSET, 0),
      size: readOr(map, SIZE, 0),
      data: readOr(map, DATA, EMPTY),
      flags: readOr(map, FLAGS, 0),
      mode: readOr(map, MODE, 0),
    };
    return { request };
  } catch (thrown) {
    if (thrown instanceof RefusedField) return { errno: thrown.number };
    throw thrown;
  }
}

/** Undefined in place of a zero: the dialect omits it. */
function omitZero<Value extends number | bigint>(value: Value | undefined): Value | undefined {
  return value === 0 || value === 0n ? undefined : value;
}

/** Undefined in place of an empty value. */
function omitEmpty<Value extends { readonly length: number }>(
  value: Value | undefined,
): Value | undefined {
  return value?.length === 0 ? undefined : value;
}

/** Returns a request as a frame, for a Go server. */
export function encodeGoRequest(request: Partial<GoRequest> & { op: GoOperation }): Uint8Array {
  return encodeVfsFrame({
    op: GO_OPERATIONS[request.op],
    path: omitEmpty(request.path),
    new_path: omitEmpty(request.newPath),
    fh: omitZero(request.handle),
    off: omitZero(request.offset),
    sz: omitZero(request.size),
    data: omitEmpty(request.data),
    flags: omitZero(request.flags),
    mode: omitZero(request.mode),
  });
}

/** Returns an answer as a frame, for a Go guest. */
export function encodeGoResponse(response: GoResponse): Uint8Array {
  const { errno, stat, data, written, handle, entries } = response;
  return encodeVfsFrame({
    err: errno === 0 ? 0 : -errno,
    stat: stat === undefined ? undefined : encodeStat(stat),
    data: omitEmpty(data),
    written: omitZero(written),
    fh: omitZero(handle),
    entries: omitEmpty(entries?.map(encodeEntry)),
  });
}

function encodeStat({ size, mode, mtime, isDirectory, ino }: GoStat): {
  readonly [key: string]: Encodable | undefined;
} {
  return { size, mode, mtime, is_dir: isDirectory, ino: omitZero(ino) };
}

function encodeEntry({ name, isDirectory, mode, size, ino }: GoEntry): {
  readonly [key: string]: Encodable | undefined;
} {
  return { name, is_dir: isDirectory, mode, size, ino: omitZero(ino) };
}

const ERR = integerIn("err", 0, -ERRNO_MAX);
const WRITTEN = u32("written");
const STAT_SIZE = integerIn("size", Number.MAX_SAFE_INTEGER);
const MTIME = integerIn("mtime", Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER);
const IS_DIRECTORY = booleanAt("is_dir");
const INODE = u64("ino");
const NAME = text("name", MAX_PATH_LENGTH);

/**
 * Reads an answer of a Go server. Byte strings are views of the payload.
 *
 * @throws {VsockboxError} BAD_DATA: the connection is of no use after.
 */
export function decodeGoResponse(payload: Uint8Array): GoResponse {
  const map = decodeMap(payload, MAX_ENTRIES * ITEMS_OF_ENTRY);
  const stat = map.get("stat");
  const entries = map.get("entries");
  return {
    errno: Math.abs(ERR.read(map.get(ERR.key))),
    stat: stat === undefined ? undefined : readStat(stat),
    data: readOr(map, DATA, EMPTY),
    written: readOr(map, WRITTEN, 0),
    handle: readOr(map, HANDLE, 0),
    entries: entries === undefined ? [] : readEntries(entries),
  };
}

function asMap(value: CborValue, name: string): CborMap {
  if (value instanceof Map) return value;
  throw new RefusedField(`${name} is not a map`);
}

function readStat(value: CborValue): GoStat {
  const map = asMap(value, "stat");
  return {
    size: readOr(map, STAT_SIZE, 0),
    mode: readOr(map, MODE, 0),
    mtime: readOr(map, MTIME, 0),
    isDirectory: readOr(map, IS_DIRECTORY, false),
    ino: readOr(map, INODE, 0n),
  };
}

function readEntries(value: CborValue): GoEntry[] {
  if (!Array.isArray(value)) throw new RefusedField("entries is not a list");
  const list: readonly CborValue[] = value;
  return list.map((entry) => asMap(entry, "an entry")).flatMap(readEntry);
}

/** An entry; none for a name that is not UTF-8, which no request could contain. */
function readEntry(map: CborMap): GoEntry[] {
  const name = map.get(NAME.key);
  if (name === INVALID_TEXT) return [];
  return [
    {
      name: NAME.read(name),
      isDirectory: readOr(map, IS_DIRECTORY, false),
      mode: readOr(map, MODE, 0),
      size: readOr(map, STAT_SIZE, 0),
      ino: readOr(map, INODE, 0n),
    },
  ];
}
