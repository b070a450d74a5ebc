/** Answers and notifications of the server between two of ours, after a Hello. */
import type { FileStat, FileSystemFacts } from "../../file-stat.ts";
import { decodeMap } from "./cbor.ts";
import type { CborMap, CborValue, Encodable } from "./cbor-values.ts";
import { packStat, unpackStat } from "./file-stat.ts";
import { bytes, integerIn, offset, optional, pathField, RefusedField, u32, u64 } from "./fields.ts";
import { encodeVfsFrame, encodeFrameHead, type FrameFields } from "./frame.ts";
import { MAX_FRAME_BYTES } from "./operations.ts";

const FACTS = [
  "bsize",
  "frsize",
  "blocks",
  "bfree",
  "bavail",
  "files",
  "ffree",
  "namelen",
] as const;

/** An answer. Which fields it has depends on the operation: docs/protocols/vfs.md. */
export interface VfsResponse {
  /** 0, or a positive errno. */
  errno: number;
  stat?: FileStat | undefined;
  /** Of open and create. */
  handle?: number | undefined;
  /** Bytes read, a link's target, an attribute's value, or packed entries; absent at the end. */
  data?: Uint8Array | undefined;
  /** Bytes written or copied. */
  written?: number | undefined;
  /** Of seek. */
  offset?: number | undefined;
  fileSystem?: FileSystemFacts | undefined;
}

/** Kinds of changes, by their numbers on the wire. */
export const NOTE_KINDS = {
  created: 1,
  modified: 2,
  removed: 3,
  renamed: 4,
  attributes: 5,
  /** Changes were lost: everything may have changed. */
  overflow: 6,
} as const;

/** Kind of a change. */
export type NoteKind = keyof typeof NOTE_KINDS;

/** A change below the root that was not made by this connection, or possibly was. */
export interface VfsNote {
  kind: NoteKind;
  /** Empty for an overflow. */
  path: Uint8Array;
  /** Of a rename. */
  newPath: Uint8Array | undefined;
}

/** A frame of the server. */
export type ServerFrame =
  { readonly id: number; readonly response: VfsResponse } | { readonly note: VfsNote };

function responseFields(id: number, response: VfsResponse): Record<string, Encodable | undefined> {
  const { errno, stat, handle, written, offset: at, fileSystem } = response;
  return {
    id,
    // Not -0, which is not an integer on the wire.
    err: errno === 0 ? 0 : -errno,
    stat: stat === undefined ? undefined : packStat(stat),
    fh: handle,
    written,
    off: at,
    fs: fileSystem === undefined ? undefined : FACTS.map((name) => fileSystem[name]),
  };
}

/** Returns an answer as a frame. */
export function encodeResponse(id: number, response: VfsResponse): Uint8Array {
  return encodeVfsFrame({ ...responseFields(id, response), data: response.data });
}

/** Returns the frame of a successful answer up to its `dataBytes` bytes of data. */
export function encodeDataHead(id: number, dataBytes: number): Uint8Array {
  const fields: FrameFields = { id, err: 0 };
  return encodeFrameHead(fields, dataBytes);
}

/** Returns a notification as a frame. */
export function encodeNote({ kind, path: at, newPath }: VfsNote): Uint8Array {
  return encodeVfsFrame({ note: NOTE_KINDS[kind], path: at, new_path: newPath });
}

const ERRNO_MAX = 4095;

const ID = u32("id");
const ERR = integerIn("err", 0, -ERRNO_MAX);
const HANDLE = optional(u32("fh"));
const DATA = optional(bytes("data", MAX_FRAME_BYTES));
const WRITTEN = optional(u32("written"));
const OFFSET = optional(offset("off"));
const FACT = u64("fs");
const NOTE = u32("note");
const PATH = pathField("path");
const NEW_PATH = optional(pathField("new_path"));

const KIND_BY_NUMBER = new Map<number, NoteKind>(
  Object.entries(NOTE_KINDS).map(([kind, number]) => [number, kind as NoteKind]),
);

/**
 * Reads a frame of the server. Byte strings are views of the payload. A notification of an unknown kind
 * is an overflow.
 *
 * @throws {VsockboxError} BAD_DATA: the connection is of no use after.
 */
export function decodeServerFrame(payload: Uint8Array): ServerFrame {
  const map = decodeMap(payload);
  if (map.has(NOTE.key)) return { note: readNote(map) };
  return { id: ID.read(map.get(ID.key)), response: readResponse(map) };
}

function readNote(map: CborMap): VfsNote {
  const kind = KIND_BY_NUMBER.get(NOTE.read(map.get(NOTE.key)));
  if (kind === undefined) return { kind: "overflow", path: new Uint8Array(0), newPath: undefined };
  return { kind, path: PATH.read(map.get(PATH.key)), newPath: readOptional(map, NEW_PATH) };
}

function readOptional<Value>(
  map: CborMap,
  field: { readonly key: string; readonly read: (value: CborValue) => Value },
): Value | undefined {
  const value = map.get(field.key);
  return value === undefined ? undefined : field.read(value);
}

function readResponse(map: CborMap): VfsResponse {
  const stat = map.get("stat");
  const facts = map.get("fs");
  return {
    errno: Math.abs(ERR.read(map.get(ERR.key))),
    stat: stat === undefined ? undefined : unpackStat(stat),
    handle: readOptional(map, HANDLE),
    data: readOptional(map, DATA),
    written: readOptional(map, WRITTEN),
    offset: readOptional(map, OFFSET),
    fileSystem: facts === undefined ? undefined : readFacts(facts),
  };
}

function readFacts(value: CborValue): FileSystemFacts {
  const list: readonly CborValue[] = Array.isArray(value) ? value : [];
  if (list.length < FACTS.length) throw new RefusedField("fs has too few numbers");
  const number = (index: number) => Number(FACT.read(list[index]));
  return {
    bsize: number(0),
    frsize: number(1),
    blocks: number(2),
    bfree: number(3),
    bavail: number(4),
    files: number(5),
    ffree: number(6),
    namelen: number(7),
  };
}
