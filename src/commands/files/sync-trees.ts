/** Reads the two trees of a mirror: one here, one in a guest. */
import { constants } from "node:fs";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { reasonOf } from "../../errors.ts";
import type { InodeStatus } from "../../ffi/directory-calls.ts";
import { type BytesPath, joinPath } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { directoryError } from "../../files/local-directory.ts";
import { type FileKind, fileKind, inodeFacts } from "../../files/facts.ts";
import {
  badField,
  type JsonObject,
  field,
  numberField,
  textField,
} from "../../protocols/agent/json-fields.ts";
import { decodePath } from "../../protocols/agent/paths.ts";
import { TreeReader } from "../../vfs/watch/tree-reader.ts";
import type { SyncEntry } from "./sync-plan.ts";

/** Entries of a guest's tree at most, and bytes of a path there: a guest may answer without an end. */
const MAX_ENTRIES = 2_000_000;
const MAX_PATH_BYTES = 4096;

/** Directories of the guest that are read at once. */
const MAX_READS = 8;

/** Which part of a tree is read. */
export interface SyncScope {
  /** Paths to be read, with everything below them; undefined: the whole tree. */
  paths: readonly string[] | undefined;
  /** Whether a path is left out, with everything below it. */
  isExcluded: ((path: BytesPath) => boolean) | undefined;
}

/** A tree that is being read. */
type ReadTree = Map<string, SyncEntry>;

/** Returns a path of a plan as bytes. */
export function syncBytes(path: string): BytesPath {
  return Buffer.from(path, "latin1");
}

/** Returns bytes as a path of a plan. */
export function syncPath(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString("latin1");
}

/**
 * Reads a local tree.
 *
 * @throws {VsockboxError} IO if its root is not a directory that can be read. What cannot be read below it
 * is left out.
 */
export function readLocalTree(root: BytesPath, scope: SyncScope): ReadTree {
  const handle = openLocalRoot(root);
  using reader = new TreeReader({ kind: "handle", handle });
  const tree: ReadTree = new Map();
  const directories: string[] = [];
  const add = (directory: DirectoryHandle, above: string, name: Uint8Array) => {
    const status = directory.find(name);
    const path = above === "" ? syncPath(name) : `${above}/${syncPath(name)}`;
    if (status === undefined || scope.isExcluded?.(syncBytes(path)) === true) return;
    tree.set(path, localEntry(directory, name, status));
    if (fileKind(status) === "directory") directories.push(path);
  };
  if (scope.paths === undefined) directories.push("");
  for (const path of scope.paths ?? []) {
    const names = namesOf(path);
    const name = names.pop();
    const parent = name === undefined ? undefined : reader.open(names);
    if (parent === undefined || name === undefined) continue;
    using directory = parent;
    add(directory, names.map(syncPath).join("/"), name);
  }
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    const opened = reader.open(namesOf(path));
    if (opened === undefined) continue;
    using directory = opened;
    for (const { name } of directory.entries()) add(directory, path, name);
  }
  return tree;
}

/**
 * Reads a tree of a guest; one that does not exist is empty.
 *
 * @throws {VsockboxError} the agent's error.
 */
export async function readGuestTree(
  client: AgentClient,
  root: Uint8Array,
  scope: SyncScope,
): Promise<ReadTree> {
  const tree: ReadTree = new Map();
  const directories: string[] = scope.paths === undefined ? [""] : [];
  const add = (path: string, facts: JsonObject) => {
    if (scope.isExcluded?.(syncBytes(path)) === true) return;
    if (tree.size >= MAX_ENTRIES || path.length >= MAX_PATH_BYTES) {
      throw badField("entry", "the agent sends a larger or deeper tree than it may");
    }
    const entry = guestEntry(facts);
    tree.set(path, entry);
    if (entry.type === "directory") directories.push(path);
  };
  const stat = async (path: string) => {
    const request = { op: "stat", path: joinPath(root, syncBytes(path)), follow: false } as const;
    const facts = await unlessMissing(client.request(request));
    if (facts !== undefined) add(path, facts);
  };
  const list = async (path: string) => {
    const whole = path === "" ? root : joinPath(root, syncBytes(path));
    await unlessMissing(
      (async () => {
        for await (const { name, facts } of client.list(whole)) {
          add(path === "" ? syncPath(name) : `${path}/${syncPath(name)}`, facts);
        }
      })(),
    );
  };
  for (const paths of chunks(scope.paths ?? [])) await Promise.all(paths.map(stat));
  while (directories.length > 0) await Promise.all(directories.splice(0, MAX_READS).map(list));
  return tree;
}

function* chunks(paths: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < paths.length; at += MAX_READS) yield paths.slice(at, at + MAX_READS);
}

function namesOf(path: string): Uint8Array[] {
  return path === "" ? [] : path.split("/").map(syncBytes);
}

function openLocalRoot(root: BytesPath): DirectoryHandle {
  try {
    return DirectoryHandle.open(root);
  } catch (thrown) {
    throw directoryError(root, reasonOf(thrown), { cause: thrown });
  }
}

function localEntry(directory: DirectoryHandle, name: Uint8Array, status: InodeStatus): SyncEntry {
  const isLink = (status.mode & constants.S_IFMT) === constants.S_IFLNK;
  const target = isLink ? syncPath(directory.readLink(name)) : undefined;
  return { ...guestEntry(inodeFacts(status)), target };
}

function guestEntry(facts: JsonObject): SyncEntry {
  const target = decodePath(field(facts, "target"));
  return {
    type: textField(facts, "type", "unknown") as FileKind,
    size: numberField(facts, "size", Number.NaN),
    mode: numberField(facts, "mode", Number.NaN),
    mtimeMs: numberField(facts, "mtimeMs", Number.NaN),
    target: target === undefined ? undefined : syncPath(target),
  };
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (thrown) {
    if (["ENOENT", "ENOTDIR"].includes(reasonOf(thrown).errno ?? "")) return undefined;
    throw thrown;
  }
}
