/**
 * Changes of watched files on a channel. The first record reports that the watch is armed; the others are
 * a change each, with paths relative to the requested one. A reader trusts nothing of them.
 */
import { badField, field, integerField, type JsonObject, readString } from "./json-fields.ts";
import { readFlag } from "./exec-request.ts";
import { decodePath, encodePath, isFileName } from "./paths.ts";

/** Kinds of changes. */
const CHANGE_KINDS = ["create", "modify", "remove", "rename", "attributes"] as const;

/** One change of a file. */
export interface ChangeRecord {
  kind: (typeof CHANGE_KINDS)[number];
  /** Relative to the watched path; empty for that itself. */
  path: Uint8Array;
  /** The former path of a renamed file; undefined for all other kinds. */
  from: Uint8Array | undefined;
  isDirectory: boolean;
}

/** What follows the first record: a change, or that changes are lost. */
export type WatchRecord = ChangeRecord | { kind: "overflow" };

/** The first record. */
export interface ArmedRecord {
  /** Number of watched directories. */
  directories: number;
  /** Number of directories that the agent may not read. */
  unreadable: number;
}

const SLASH = 0x2f;
const WHAT = "change";

/** Returns the first record. */
export function encodeArmed({ directories, unreadable }: ArmedRecord): JsonObject {
  return { event: "ready", directories, unreadable };
}

/**
 * Reads the first record.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeArmed(record: JsonObject): ArmedRecord {
  if (field(record, "event") !== "ready") throw badField(WHAT, "it precedes the first record");
  const count = (name: string) => integerField(WHAT, record, name, Number.MAX_SAFE_INTEGER) ?? 0;
  return { directories: count("directories"), unreadable: count("unreadable") };
}

/** Returns a change as a record. */
export function encodeChange(change: WatchRecord): JsonObject {
  if (change.kind === "overflow") return { event: "overflow" };
  const { kind, path, from, isDirectory } = change;
  return {
    event: kind,
    ...(path.length > 0 && { path: encodePath(path) }),
    ...(from !== undefined && { from: encodePath(from) }),
    ...(isDirectory && { directory: true }),
  };
}

/**
 * Reads a change.
 *
 * @returns undefined for an event of a later version.
 * @throws {VsockboxError} BAD_DATA, also for a path that leads out of the watched one.
 */
export function decodeChange(record: JsonObject): WatchRecord | undefined {
  const event = readString(WHAT, record, "event");
  if (event === "overflow") return { kind: event };
  const kind = CHANGE_KINDS.find((known) => known === event);
  if (kind === undefined) return undefined;
  const from = readRelativePath(record, "from");
  if (kind === "rename" && from === undefined) throw badField(WHAT, "from is missing");
  return {
    kind,
    path: readRelativePath(record, "path") ?? new Uint8Array(0),
    from: kind === "rename" ? from : undefined,
    isDirectory: readFlag(WHAT, record, "directory"),
  };
}

function readRelativePath(record: JsonObject, name: string): Uint8Array | undefined {
  const value = field(record, name);
  if (value === undefined) return undefined;
  const path = decodePath(value);
  if (path === undefined) throw badField(WHAT, `${name} is not a path`);
  for (let begin = 0; begin <= path.length;) {
    const slash = path.indexOf(SLASH, begin);
    const end = slash === -1 ? path.length : slash;
    const component = path.subarray(begin, end);
    if (component.length === 0 || !isFileName(component)) {
      throw badField(WHAT, `${name} is not a path below the watched one`);
    }
    begin = end + 1;
  }
  return path;
}
