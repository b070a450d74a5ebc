/**
 * Requests between two of ours, after a Hello. Paths are bytes relative to the export's root, empty for
 * the root; handles are numbers of the connection that opened them. docs/protocols/vfs.md has the table.
 */
import { VsockboxError } from "../../errors.ts";
import { decodeMap } from "./cbor.ts";
import type { CborMap, Encodable } from "./cbor-values.ts";
import {
  bytes,
  cText,
  type Field,
  integerIn,
  type MessageOf,
  offset,
  optional,
  pathField,
  RefusedField,
  time,
  u32,
  u64,
} from "./fields.ts";
import { encodeVfsFrame, encodeFrameHead } from "./frame.ts";
import { MAX_IO_BYTES } from "./operations.ts";

/** ENOSYS, errno(3): the answer to an operation without a meaning. */
const ENOSYS = 38;

/** XATTR_NAME_MAX and XATTR_SIZE_MAX, linux/limits.h. */
const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65_536;
/** A link's target is shorter than PATH_MAX. */
const TARGET_MAX = 4095;

const PATH = pathField("path");
const NEW_PATH = pathField("new_path");
const HANDLE = u32("fh");
const OFFSET = offset("off");
const SIZE = u32("sz");
const FLAGS = u32("flags");
const MODE = integerIn("mode", 0o177_777);
const UID = optional(u32("uid"));
const GID = optional(u32("gid"));
const XATTR_NAME = cText("name", XATTR_NAME_MAX);

/** An operation: its number and its fields. */
interface Operation {
  readonly number: number;
  readonly fields: Readonly<Record<string, Field<unknown>>>;
}

/** All operations after a Hello. Flags are Linux's, of x86-64. */
export const OPERATIONS = {
  lookup: { number: 0, fields: { path: PATH } },
  /** With a handle the path is not looked at. */
  getattr: { number: 1, fields: { path: PATH, handle: optional(HANDLE) } },
  read: { number: 3, fields: { handle: HANDLE, offset: OFFSET, size: SIZE } },
  /** `flags` 1: at the end of the file, wherever that is, as O_APPEND; an older host ignores it. */
  write: {
    number: 4,
    fields: {
      ...{ handle: HANDLE, offset: OFFSET, flags: optional(u32("flags")) },
      data: bytes("data", MAX_IO_BYTES),
    },
  },
  /** `flags` of open(2): O_EXCL and O_TRUNC count. */
  create: { number: 5, fields: { path: PATH, flags: FLAGS, mode: MODE, uid: UID, gid: GID } },
  mkdir: { number: 6, fields: { path: PATH, mode: MODE, uid: UID, gid: GID } },
  unlink: { number: 7, fields: { path: PATH } },
  rmdir: { number: 8, fields: { path: PATH } },
  /** `flags` of renameat2(2): RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename: { number: 9, fields: { path: PATH, newPath: NEW_PATH, flags: FLAGS } },
  /** Opens files, and directories for readdir with O_DIRECTORY. */
  open: { number: 10, fields: { path: PATH, flags: FLAGS } },
  release: { number: 11, fields: { handle: HANDLE } },
  /** `offset` 0, or that of an entry; `size` limits the packed entries, in bytes. */
  readdir: { number: 12, fields: { handle: HANDLE, offset: u64("off"), size: SIZE } },
  /** `flags` 1: data alone, as fdatasync(2). */
  fsync: { number: 13, fields: { handle: HANDLE, flags: FLAGS } },
  symlink: {
    number: 16,
    fields: { target: cText("path", TARGET_MAX), newPath: NEW_PATH, uid: UID, gid: GID },
  },
  readlink: { number: 17, fields: { path: PATH } },
  link: { number: 18, fields: { path: PATH, newPath: NEW_PATH } },
  statfs: { number: 32, fields: {} },
  /** Those that are absent stay as they are. */
  setAttributes: {
    number: 33,
    fields: {
      ...{ path: PATH, handle: optional(HANDLE), mode: optional(MODE), uid: UID, gid: GID },
      ...{ size: optional(offset("size")), atime: optional(time("atime")) },
      ...{ mtime: optional(time("mtime")) },
    },
  },
  readdirPlus: { number: 34, fields: { handle: HANDLE, offset: u64("off"), size: SIZE } },
  mknod: { number: 35, fields: { path: PATH, mode: MODE, rdev: u32("rdev"), uid: UID, gid: GID } },
  /** `flags`: the mode of fallocate(2). */
  fallocate: {
    number: 36,
    fields: { handle: HANDLE, offset: OFFSET, length: offset("size"), flags: FLAGS },
  },
  /** `whence`: SEEK_DATA 3 or SEEK_HOLE 4. */
  seek: { number: 37, fields: { handle: HANDLE, offset: OFFSET, whence: FLAGS } },
  copyRange: {
    number: 38,
    fields: {
      ...{ handle: HANDLE, offset: OFFSET, toHandle: u32("fh_out"), toOffset: offset("off_out") },
      ...{ length: offset("size") },
    },
  },
  flush: { number: 39, fields: { handle: HANDLE } },
  getXattr: { number: 40, fields: { path: PATH, name: XATTR_NAME } },
  /** `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. */
  setXattr: {
    number: 41,
    fields: { path: PATH, name: XATTR_NAME, data: bytes("data", XATTR_SIZE_MAX), flags: FLAGS },
  },
  listXattr: { number: 42, fields: { path: PATH } },
  removeXattr: { number: 43, fields: { path: PATH, name: XATTR_NAME } },
  /** A request that has not begun is answered with EINTR. */
  cancel: { number: 44, fields: { target: u32("target") } },
  /** Notifications of changes below the root, until the connection ends. */
  subscribe: { number: 45, fields: {} },
} as const satisfies Readonly<Record<string, Operation>>;

/** Name of an operation after a Hello. */
export type VfsOperation = keyof typeof OPERATIONS;

/** The request of one operation. */
export type VfsRequestOf<Name extends VfsOperation> = {
  op: Name;
} & MessageOf<(typeof OPERATIONS)[Name]["fields"]>;

/** A request after a Hello. */
export type VfsRequest = { [Name in VfsOperation]: VfsRequestOf<Name> }[VfsOperation];

const BY_NUMBER = new Map<number, { name: VfsOperation; fields: [string, Field<unknown>][] }>(
  Object.entries(OPERATIONS).map(([name, { number, fields }]) => [
    number,
    { name: name as VfsOperation, fields: Object.entries(fields) as [string, Field<unknown>][] },
  ]),
);

const ID = u32("id");
const NUMBER = u32("op");

/** A request, or the errno to answer it with. */
export type DecodedRequest =
  | { readonly id: number; readonly request: VfsRequest }
  | { readonly id: number; readonly errno: number };

/**
 * Reads a request. Byte strings are views of the payload.
 *
 * @throws {VsockboxError} BAD_DATA if it cannot be answered: it is not a map, or has no id.
 */
export function decodeVfsRequest(payload: Uint8Array): DecodedRequest {
  const map = decodeMap(payload);
  const id = ID.read(map.get(ID.key));
  try {
    return { id, request: readRequest(map) };
  } catch (thrown) {
    if (thrown instanceof RefusedField) return { id, errno: thrown.number };
    throw thrown;
  }
}

function readRequest(map: CborMap): VfsRequest {
  const operation = BY_NUMBER.get(NUMBER.read(map.get(NUMBER.key)));
  if (operation === undefined) throw new RefusedField("the operation is unknown", ENOSYS);
  const request: Record<string, unknown> = { op: operation.name };
  for (const [name, field] of operation.fields) {
    const value = map.get(field.key);
    if (value === undefined && field.isOptional) continue;
    request[name] = field.read(value);
  }
  // The table has each field's type.
  return request as unknown as VfsRequest;
}

function fieldsOf(id: number, request: VfsRequest, without?: string) {
  const { number, fields } = OPERATIONS[request.op];
  const encoded: Record<string, Encodable> = { op: number, id };
  for (const [name, field] of Object.entries(fields) as [string, Field<unknown>][]) {
    const value: unknown = Reflect.get(request, name);
    if (value !== undefined && name !== without) encoded[field.key] = field.write(value);
  }
  return encoded;
}

/** Returns a request as a frame. */
export function encodeVfsRequest(id: number, request: VfsRequest): Uint8Array {
  return encodeVfsFrame(fieldsOf(id, request));
}

/**
 * Returns the frame of a write up to its data, which then are sent from where they are.
 *
 * @throws {VsockboxError} USAGE if they exceed the largest write.
 */
export function encodeWriteHead(
  id: number,
  {
    handle,
    offset: at,
    dataBytes,
    flags,
  }: { handle: number; offset: number; dataBytes: number; flags?: number | undefined },
): Uint8Array {
  if (dataBytes > MAX_IO_BYTES) {
    const message = `${dataBytes} bytes exceed the largest write`;
    throw new VsockboxError({ code: "USAGE", operation: "write", message });
  }
  const data = new Uint8Array(0);
  const request: VfsRequest = { op: "write", handle, offset: at, data, flags };
  return encodeFrameHead(fieldsOf(id, request, "data"), dataBytes);
}
