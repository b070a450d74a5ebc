/** The facts of a file, as `stat` and `ls` show them. */
import { constants, type Stats } from "node:fs";
import type { InodeStatus } from "../ffi/directory-calls.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import { encodePath } from "../protocols/agent/paths.ts";
import type { DirectoryHandle } from "./directory-handle.ts";

/** A kind of file, as inode(7) has them. */
export type FileKind =
  "file" | "directory" | "link" | "fifo" | "socket" | "block" | "character" | "unknown";

const KIND_OF_TYPE: ReadonlyMap<number, FileKind> = new Map([
  [constants.S_IFREG, "file"],
  [constants.S_IFDIR, "directory"],
  [constants.S_IFLNK, "link"],
  [constants.S_IFIFO, "fifo"],
  [constants.S_IFSOCK, "socket"],
  [constants.S_IFBLK, "block"],
  [constants.S_IFCHR, "character"],
]);

/** The kind by the type bits of `st_mode`. */
export function fileKind({ mode }: Pick<Stats | InodeStatus, "mode">): FileKind {
  return KIND_OF_TYPE.get(mode & constants.S_IFMT) ?? "unknown";
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ["block", "block device"],
  ["character", "character device"],
  ["fifo", "FIFO"],
  ["link", "symbolic link"],
  ["unknown", "file of an unknown type"],
]);

/** Returns the kind for messages, for use after "a". */
export function kindInWords(kind: string): string {
  return WORDS.get(kind) ?? kind;
}

const NANOSECONDS_PER_MS = 1e6;

/** The facts as JSON. */
export function inodeFacts(status: InodeStatus): JsonObject {
  const { seconds, nanoseconds } = status.modified;
  return {
    type: fileKind(status),
    size: status.size,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    links: status.links,
    inode: Number(status.inode),
    mtimeMs: seconds * 1000 + nanoseconds / NANOSECONDS_PER_MS,
  };
}

/** The facts of an entry of a directory, of a link itself, as JSON; undefined if it does not exist. */
export function entryFacts(directory: DirectoryHandle, name: Uint8Array): JsonObject | undefined {
  const status = directory.find(name);
  if (status === undefined) return undefined;
  const facts = inodeFacts(status);
  return fileKind(status) === "link"
    ? { ...facts, target: encodePath(directory.readLink(name)) }
    : facts;
}
