/** What there is to be said of a file, as `stat` and `ls` show it. */
import { lstatSync, readlinkSync, statSync, type Stats } from "node:fs";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import { encodePath } from "../protocols/agent/paths.ts";
import type { BytesPath } from "./bytes-path.ts";

/** A kind of file, as inode(7) has them. */
export type FileKind =
  "file" | "directory" | "link" | "fifo" | "socket" | "block" | "character" | "unknown";

/** The kind by the type bits of `st_mode`. */
export function fileKind(status: Stats): FileKind {
  if (status.isFile()) return "file";
  if (status.isDirectory()) return "directory";
  if (status.isSymbolicLink()) return "link";
  if (status.isFIFO()) return "fifo";
  if (status.isSocket()) return "socket";
  if (status.isBlockDevice()) return "block";
  return status.isCharacterDevice() ? "character" : "unknown";
}

/** The kind for messages. */
export function kindInWords(kind: string): string {
  return kind === "block" || kind === "character" ? `${kind} device` : kind;
}

/** The facts of one file as JSON; of what a link leads to where `follow` is set. */
export function fileFacts(path: BytesPath, follow: boolean): JsonObject {
  const status = follow ? statSync(path) : lstatSync(path);
  return {
    type: fileKind(status),
    size: status.size,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    links: status.nlink,
    inode: status.ino,
    mtimeMs: status.mtimeMs,
    ...(status.isSymbolicLink() ? { target: encodePath(readLink(path)) } : {}),
  };
}

/** A link's target as bytes. */
export function readLink(path: BytesPath): Uint8Array {
  return readlinkSync(path, { encoding: "buffer" });
}
