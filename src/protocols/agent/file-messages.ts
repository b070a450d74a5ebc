/** The JSON payloads of PortForward and of the file frames. */
import { encodeBase64 } from "./base64.ts";
import {
  badField,
  field,
  type JsonObject,
  parseObject,
  readBytes,
  integerField,
  readString,
} from "./json-fields.ts";

/** Largest file that ReadFile returns, in bytes, as in the Go agent. */
export const READ_FILE_MAX_BYTES = 16 * 1024 * 1024;

/** PortForward. */
export interface PortForwardRequest {
  host: string;
  port: number;
}

/** WriteFile. */
export interface WriteFileRequest {
  path: string;
  content: Uint8Array;
  /** Permission bits. */
  mode: number;
}

/**
 * An entry of ListFiles, with the names of the wire: a list may be as large as a frame, so entries are
 * checked and not copied.
 */
export interface FileInfo {
  name: string;
  size: number;
  /** Go's FileMode; see {@link goFileMode}. */
  mode: number;
  is_dir: boolean;
}

/** FileResult. */
export interface FileResponse {
  content?: Uint8Array;
  files?: readonly FileInfo[];
  error?: string;
}

/**
 * Reads a PortForwardRequest; an empty host is 127.0.0.1.
 *
 * @throws {VsockboxError} BAD_DATA, also for port 0.
 */
export function decodePortForwardRequest(payload: Uint8Array): PortForwardRequest {
  const what = "PortForwardRequest";
  const object = parseObject(what, payload);
  const port = integerField(what, object, "port", 65_535) ?? 0;
  if (port === 0) throw badField(what, "port 0 cannot be connected to");
  return { host: readString(what, object, "host") ?? "127.0.0.1", port };
}

function readPath(what: string, object: JsonObject): string {
  const path = readString(what, object, "path");
  if (path === undefined) throw badField(what, "the path is missing");
  return path;
}

/** Permission bits of Go's FileMode, and its bits for setuid, setgid and sticky. */
const GO_PERMISSIONS = 0o777;
const GO_SPECIAL_BITS = [
  { go: 2 ** 23, unix: 0o4000 },
  { go: 2 ** 22, unix: 0o2000 },
  { go: 2 ** 20, unix: 0o1000 },
] as const;

/** File types of inode(7) and what Go's FileMode has for them. */
const GO_TYPES: ReadonlyMap<number, number> = new Map([
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o060000, 2 ** 26],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
  [0o020000, 2 ** 26 + 2 ** 21],
]);

/** `st_mode` as Go's FileMode, a u32: permission bits, and types and special bits from the top. */
export function goFileMode(mode: number): number {
  const special = GO_SPECIAL_BITS.filter(({ unix }) => (mode & unix) !== 0);
  const type = GO_TYPES.get(mode & 0o170000) ?? 0;
  return special.reduce((sum, { go }) => sum + go, (mode & GO_PERMISSIONS) + type);
}

/** Returns the kind of file that Go's FileMode has for a file that is not a directory. */
export function goFileKind(
  goMode: number,
): "file" | "link" | "block" | "character" | "fifo" | "socket" {
  const has = (bit: number) => Math.floor(goMode / 2 ** bit) % 2 === 1;
  if (has(27)) return "link";
  if (has(26)) return has(21) ? "character" : "block";
  if (has(25)) return "fifo";
  return has(24) ? "socket" : "file";
}

/** The permission and special bits of Go's FileMode as for chmod(2). */
export function unixMode(goMode: number): number {
  const special = GO_SPECIAL_BITS.filter(({ go }) => Math.floor(goMode / go) % 2 === 1);
  return special.reduce((bits, { unix }) => bits | unix, goMode & GO_PERMISSIONS);
}

/**
 * Reads a WriteFileRequest; mode 0 is 0644.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeWriteFileRequest(payload: Uint8Array): WriteFileRequest {
  const what = "WriteFileRequest";
  const object = parseObject(what, payload);
  const mode = integerField(what, object, "mode", 0xffff_ffff) ?? 0;
  return {
    path: readPath(what, object),
    content: readBytes(what, object, "content"),
    mode: mode === 0 ? 0o644 : unixMode(mode),
  };
}

/**
 * Reads a ReadFileRequest or a ListFilesRequest: both have a path alone.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodePathRequest(payload: Uint8Array, what: string): string {
  return readPath(what, parseObject(what, payload));
}

/** The response as JSON value, with empty fields left out. */
export function encodeFileResponse({ content, files, error }: FileResponse): JsonObject {
  return {
    ...(content === undefined || content.length === 0 ? {} : { content: encodeBase64(content) }),
    ...(files === undefined || files.length === 0 ? {} : { files }),
    ...(error === undefined ? {} : { error }),
  };
}

/**
 * Reads a FileResult.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeFileResponse(payload: Uint8Array): FileResponse {
  const what = "FileResult";
  const object = parseObject(what, payload);
  const files: unknown = field(object, "files") ?? [];
  if (!Array.isArray(files)) throw badField(what, "files is not a list");
  const error = readString(what, object, "error");
  return {
    content: readBytes(what, object, "content"),
    files: checkFiles(what, files),
    ...(error === undefined ? {} : { error }),
  };
}

/** The list itself, each entry checked and completed in place. */
function checkFiles(what: string, files: unknown[]): FileInfo[] {
  for (const value of files) {
    if (typeof value !== "object" || value === null)
      throw badField(what, "a file is not an object");
    const file = value as JsonObject;
    file["name"] = readString(what, file, "name") ?? "";
    file["size"] = integerField(what, file, "size", Number.MAX_SAFE_INTEGER) ?? 0;
    file["mode"] = integerField(what, file, "mode", 0xffff_ffff) ?? 0;
    file["is_dir"] = field(file, "is_dir") === true;
  }
  return files as FileInfo[];
}
