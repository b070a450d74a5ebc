/**
 * File names in JSON. A name is bytes without NUL; JSON holds text. UTF-8 is sent as a string,
 * anything else as `{"base64": …}`.
 */
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { badField, field, type JsonObject } from "./json-fields.ts";

/** Longest path of the kernel, with its NUL: PATH_MAX, linux/limits.h. */
const PATH_MAX_BYTES = 4096;

/** Longest name of one file: NAME_MAX, linux/limits.h. */
const NAME_MAX_BYTES = 255;

const SLASH = 0x2f;
const DOT = 0x2e;

/** A path or name as it stands in JSON. */
export type JsonPath = string | { base64: string };

/** Bytes as text; a byte order mark at the beginning stays, since it is a part of a name. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** A path or name for JSON. */
export function encodePath(path: Uint8Array): JsonPath {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(path);
  } catch {
    return { base64: encodeBase64(path) };
  }
}

/** Returns the bytes of a value that {@link encodePath} made; undefined for any other value. */
export function decodePath(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return new TextEncoder().encode(value);
  const isObject = typeof value === "object" && value !== null;
  const base64 = isObject ? field(value as JsonObject, "base64") : undefined;
  return typeof base64 === "string" ? decodeBase64(base64) : undefined;
}

function bytesOf(what: string, name: string, value: unknown): Uint8Array {
  const bytes = decodePath(value);
  if (bytes === undefined) throw badField(what, `${name} is not a path`);
  if (bytes.length === 0) throw badField(what, `${name} is empty`);
  if (bytes.includes(0)) throw badField(what, `${name} has a NUL byte`);
  return bytes;
}

/**
 * A path of any depth.
 *
 * @throws {VsockboxError} BAD_DATA if it is missing, empty, too long, or has a NUL.
 */
export function readPathField(what: string, object: JsonObject, name: string): Uint8Array {
  const bytes = bytesOf(what, name, field(object, name));
  if (bytes.length >= PATH_MAX_BYTES) {
    throw badField(
      what,
      `${name} has ${bytes.length} bytes; a path has fewer than ${PATH_MAX_BYTES}`,
    );
  }
  return bytes;
}

/** Whether bytes can be the name of a file in a directory: one component, neither `.` nor `..`. */
export function isFileName(bytes: Uint8Array): boolean {
  const areDots = bytes.length <= 2 && bytes.every((byte) => byte === DOT);
  return !areDots && bytes.length <= NAME_MAX_BYTES && !bytes.includes(SLASH) && !bytes.includes(0);
}

/**
 * The name of one directory entry: never `.` or `..`, no slash. What a peer sends as a name must not
 * lead out of the directory that it is written into.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function readNameField(what: string, object: JsonObject, name: string): Uint8Array {
  const bytes = bytesOf(what, name, field(object, name));
  if (!isFileName(bytes)) {
    throw badField(what, `${name} is not the name of a file in a directory`);
  }
  return bytes;
}
