/**
 * Records of a transfer, in order on one channel. A directory is entered and left; what comes in
 * between is in it. A file's record is followed by its bytes as Data on stream 1, holes as records,
 * and `end`.
 */
import { badField, field, type JsonObject, integerField, readString } from "./json-fields.ts";
import { encodePath, readNameField, readPathField } from "./paths.ts";

/** Attributes of a file that are preserved. */
export interface FileStatus {
  /** Permission bits, without the type. */
  mode: number;
  /** Modification time: whole seconds since 1970, negative before, and nanoseconds on top. */
  seconds: number;
  nanoseconds: number;
  uid: number;
  gid: number;
}

/** One record. */
export type TreeRecord =
  | ({ kind: "directory"; name: Uint8Array } & FileStatus)
  /** The innermost directory is complete. */
  | { kind: "leave" }
  /** `size` is unknown if a pipe is sent. */
  | ({ kind: "file"; name: Uint8Array; size: number | undefined } & FileStatus)
  /** Answer to the receiver's offer: the data begins there. */
  | { kind: "from"; offset: number }
  | { kind: "hole"; bytes: number }
  /** The file is complete; with an error it has failed at the sender. */
  | { kind: "end"; sha256: string | undefined; error: string | undefined }
  | ({ kind: "link"; name: Uint8Array; target: Uint8Array } & FileStatus)
  /** Something that cannot be sent, for the report. */
  | { kind: "skipped"; name: Uint8Array; error: string };

/** The record as JSON value. */
export function encodeTreeRecord(record: TreeRecord): JsonObject {
  const value: JsonObject = {};
  for (const [name, entry] of Object.entries(record)) {
    if (entry !== undefined) value[name] = entry instanceof Uint8Array ? encodePath(entry) : entry;
  }
  return value;
}

/** Times before 1970 and far ones exist; beyond what a file system can hold they are refused. */
const MAX_SECONDS = 2 ** 35;
const MAX_NANOSECONDS = 999_999_999;

function readStatus(what: string, object: JsonObject): FileStatus {
  const seconds = field(object, "seconds") ?? 0;
  if (!Number.isInteger(seconds) || Math.abs(Number(seconds)) > MAX_SECONDS) {
    throw badField(what, "seconds is not a time");
  }
  return {
    mode: integerField(what, object, "mode", 0o7777) ?? 0o644,
    seconds: Number(seconds),
    nanoseconds: integerField(what, object, "nanoseconds", MAX_NANOSECONDS) ?? 0,
    uid: integerField(what, object, "uid", 0xffff_fffe) ?? 0,
    gid: integerField(what, object, "gid", 0xffff_fffe) ?? 0,
  };
}

function need(what: string, value: number | undefined, name: string): number {
  if (value === undefined) throw badField(what, `${name} is missing`);
  return value;
}

/**
 * Reads a record.
 *
 * @throws {VsockboxError} BAD_DATA, also for a name that leads anywhere but into its directory.
 */
export function decodeTreeRecord(object: JsonObject): TreeRecord {
  const kind = field(object, "kind");
  const what = "file record";
  const count = (name: string) => integerField(what, object, name, Number.MAX_SAFE_INTEGER);
  switch (kind) {
    case "directory":
      return { kind, name: readNameField(what, object, "name"), ...readStatus(what, object) };
    case "leave":
      return { kind };
    case "file":
      return {
        kind,
        name: readNameField(what, object, "name"),
        size: count("size"),
        ...readStatus(what, object),
      };
    case "from":
      return { kind, offset: need(what, count("offset"), "offset") };
    case "hole":
      return { kind, bytes: need(what, count("bytes"), "bytes") };
    case "end": {
      const sha256 = readString(what, object, "sha256");
      if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) throw badField(what, "no sha256");
      return { kind, sha256, error: readString(what, object, "error") };
    }
    case "link":
      return {
        kind,
        name: readNameField(what, object, "name"),
        target: readPathField(what, object, "target"),
        ...readStatus(what, object),
      };
    case "skipped":
      return {
        kind,
        name: readNameField(what, object, "name"),
        error: readString(what, object, "error") ?? "it was left out",
      };
    default:
      throw badField(what, "unknown kind");
  }
}

/** What the receiver has of a file already, asked before its bytes are sent. */
export type ResumeOffer =
  /** The whole file: same size and time. */
  | { kind: "same" }
  /** `bytes` of an unfinished one, with their hash; 0 bytes: nothing. */
  | { kind: "part"; bytes: number; hash: string };

/** The offer as JSON value. */
export function encodeResumeOffer(offer: ResumeOffer): JsonObject {
  return { offer };
}

/**
 * Reads an offer.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeResumeOffer(object: JsonObject): ResumeOffer {
  const what = "resume offer";
  const offer = field(object, "offer");
  if (typeof offer !== "object" || offer === null) throw badField(what, "it is missing");
  const value = offer as JsonObject;
  if (field(value, "kind") === "same") return { kind: "same" };
  return {
    kind: "part",
    bytes: integerField(what, value, "bytes", Number.MAX_SAFE_INTEGER) ?? 0,
    hash: readString(what, value, "hash") ?? "",
  };
}
