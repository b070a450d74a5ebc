/** Paths as bytes: a file's name need not be UTF-8, and none of it may be lost. */
import { existsSync } from "node:fs";
import { printableBytes } from "../text/printable.ts";

let hasProc = false;

const SLASH = 0x2f;
const DOT = 0x2e;

/** Returns a path for the runtime's file calls, which pass a Buffer unchanged. */
export type BytesPath = Buffer<ArrayBufferLike>;

/** Bytes or text as a path. */
export function bytesPath(path: Uint8Array | string): BytesPath {
  return typeof path === "string"
    ? Buffer.from(path)
    : Buffer.from(path.buffer, path.byteOffset, path.length);
}

/** A name in a directory. */
export function joinPath(directory: Uint8Array, name: Uint8Array): BytesPath {
  const slash = directory.at(-1) === SLASH ? "" : "/";
  return Buffer.concat([directory, Buffer.from(slash), name]);
}

/** The path without slashes at its end; the root stays. */
export function withoutTrailingSlashes(path: Uint8Array): BytesPath {
  let end = path.length;
  while (end > 1 && path[end - 1] === SLASH) end--;
  return bytesPath(path.subarray(0, end));
}

/** The last component; empty for the root. */
export function baseName(path: Uint8Array): BytesPath {
  const trimmed = withoutTrailingSlashes(path);
  return trimmed.subarray(trimmed.lastIndexOf(SLASH) + 1);
}

/** The path without its last component. */
export function parentOf(path: Uint8Array): BytesPath {
  const trimmed = withoutTrailingSlashes(path);
  const slash = trimmed.lastIndexOf(SLASH);
  if (slash === -1) return Buffer.from(".");
  return slash === 0 ? Buffer.from("/") : withoutTrailingSlashes(trimmed.subarray(0, slash));
}

/** Whether the path ends in a slash or in `.` or `..`, and so can only be a directory. */
export function namesDirectory(path: Uint8Array): boolean {
  const name = path.subarray(path.lastIndexOf(SLASH) + 1);
  return name.length <= 2 && name.every((byte) => byte === DOT);
}

/** Returns the path for messages, with unsafe characters and bytes outside UTF-8 escaped. */
export function showPath(path: Uint8Array): string {
  return printableBytes(path);
}

/**
 * An open directory's path by its descriptor: whatever is put into the place of its name, this stays
 * the same directory. Undefined if /proc is not mounted.
 */
export function descriptorPath(fd: number): BytesPath | undefined {
  // It may be mounted later.
  hasProc ||= existsSync("/proc/self/fd");
  return hasProc ? bytesPath(`/proc/self/fd/${fd}`) : undefined;
}
