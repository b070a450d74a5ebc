/** One look at, or one change of, the agent's file system, asked for on a channel. */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import {
  baseName,
  type BytesPath,
  bytesPath,
  joinPath,
  parentOf,
  showPath,
  withoutTrailingSlashes,
  descriptorPath,
} from "../files/bytes-path.ts";
import { realPathOf } from "../ffi/real-path.ts";
import { fileFacts } from "../files/facts.ts";
import { expandGlob } from "../files/glob.ts";
import type { FileOperation } from "../protocols/agent/channel-requests.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import { encodePath } from "../protocols/agent/paths.ts";
import type { Channel } from "./channel.ts";
import { fileError } from "./transfer.ts";

/** Matches of one pattern that are given at most. */
const MAX_MATCHES = 100_000;

/** Entries between two looks at whether anybody still listens. */
const TURN_ENTRIES = 500;

/**
 * Carries a request out; gives its result.
 *
 * @throws {VsockboxError} IO with the errno's name and the path in words.
 */
export async function runFileRequest(
  channel: Channel,
  request: FileOperation,
): Promise<JsonObject> {
  const path = bytesPath(request.op === "glob" ? request.pattern : request.path);
  try {
    switch (request.op) {
      case "stat":
        return statResult(path, request.follow);
      case "list":
        return await list(channel, path);
      case "glob":
        for (const match of expandGlob(path, MAX_MATCHES)) {
          await channel.sendRecord({ path: encodePath(match) });
        }
        return {};
      case "mkdir":
        makeDirectory(path, request.parents, request.mode);
        return {};
      case "remove":
        return { removed: await remove(channel, path, request.recursive, request.force) };
      case "rename":
        rename(path, bytesPath(request.to), request.replace);
        return {};
    }
  } catch (thrown) {
    throw fileError(request.op, path, thrown);
  }
}

function statResult(path: BytesPath, follow: boolean): JsonObject {
  const facts = fileFacts(path, follow);
  const real = follow ? { realPath: encodePath(realPathOf(path)) } : {};
  return { ...facts, ...real };
}

async function list(channel: Channel, path: BytesPath): Promise<JsonObject> {
  const status = lstatSync(path);
  const isDirectory = status.isDirectory() || (status.isSymbolicLink() && leadsToDirectory(path));
  if (!isDirectory) {
    await channel.sendRecord({ name: encodePath(path), ...fileFacts(path, false) });
    return { isDirectory: false };
  }
  const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  let turn = 0;
  for (const name of names) {
    if (++turn % TURN_ENTRIES === 0) await breathe(channel);
    let facts: JsonObject;
    try {
      facts = fileFacts(joinPath(path, name), false);
    } catch {
      // It vanished between the two calls.
      continue;
    }
    await channel.sendRecord({ name: encodePath(name), ...facts });
  }
  return { isDirectory: true };
}

function leadsToDirectory(path: BytesPath): boolean {
  try {
    return fileFacts(path, true)["type"] === "directory";
  } catch {
    return false;
  }
}

/** Lets other sessions have a turn, and ends the work for a peer that has left. */
async function breathe(channel: Channel): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  if (channel.isClosed) {
    throw new VsockboxError({ code: "ABORTED", operation: "list", message: "the host has left" });
  }
}

function makeDirectory(path: BytesPath, parents: boolean, mode: number | undefined): void {
  if (parents) {
    const missing: BytesPath[] = [];
    for (let above = parentOf(path); !existsSync(above); above = parentOf(above)) {
      missing.unshift(above);
    }
    for (const directory of missing) mkdirSync(directory, 0o777);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  }
  mkdirSync(path, 0o777);
  if (mode !== undefined) chmodSync(path, mode);
}

/**
 * Refuses what nobody removes on purpose: the root by any name, and `.` and `..`, as rm(1) does. The
 * root is told by what it is, not by how it is written: `/.`, `//` and `/etc/..` are the root, too.
 *
 * @throws {VsockboxError} USAGE.
 */
export function assertRemovable(path: BytesPath): void {
  const name = baseName(path).toString();
  if (name !== "" && name !== "." && name !== ".." && !isRoot(path)) return;
  throw new VsockboxError({
    code: "USAGE",
    operation: "remove",
    address: showPath(path),
    message: "that is never removed",
    hint: "name the files in it",
  });
}

function isRoot(path: BytesPath): boolean {
  const root = lstatSync("/");
  const status = lstatSync(path, { throwIfNoEntry: false });
  return status !== undefined && status.ino === root.ino && status.dev === root.dev;
}

/** Gives how many files and directories were removed. */
async function remove(
  channel: Channel,
  path: BytesPath,
  recursive: boolean,
  force: boolean,
): Promise<number> {
  assertRemovable(path);
  // With a slash behind it, the kernel would follow a link, and what it leads to would be removed.
  const status = lstatSync(withoutTrailingSlashes(path), { throwIfNoEntry: false });
  if (status === undefined && force) return 0;
  if (status?.isDirectory() !== true) {
    unlinkSync(path);
    return 1;
  }
  if (!recursive) {
    throw new VsockboxError({
      code: "IO",
      operation: "remove",
      address: showPath(path),
      message: "it is a directory",
      errno: "EISDIR",
      hint: "--recursive (-r) removes directories with all that is in them",
    });
  }
  return removeTree(channel, path);
}

/**
 * Never follows a link: what is a link is unlinked itself. Directories are held open, so that nobody
 * can put a link into the place of one in the meantime.
 */
async function removeTree(channel: Channel, path: BytesPath): Promise<number> {
  let count = 1;
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const directory = descriptorPath(fd) ?? path;
    for (const name of readdirSync(directory, { encoding: "buffer" })) {
      const entry = joinPath(directory, name);
      if (lstatSync(entry).isDirectory()) count += await removeTree(channel, entry);
      else {
        unlinkSync(entry);
        if (++count % TURN_ENTRIES === 0) await breathe(channel);
      }
    }
  } finally {
    closeSync(fd);
  }
  rmdirSync(path);
  return count;
}

function rename(from: BytesPath, to: BytesPath, replace: boolean): void {
  if (replace) return renameSync(from, to);
  const occupied = () =>
    new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "rename",
      address: showPath(to),
      message: "it exists",
      errno: "EEXIST",
    });
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) throw occupied();
  if (lstatSync(from).isDirectory()) return renameSync(from, to);
  // A link to the new name fails where somebody was faster, which a rename would not.
  try {
    linkSync(from, to);
  } catch (thrown) {
    if (reasonOf(thrown).errno === "EEXIST") throw occupied();
    return renameSync(from, to);
  }
  unlinkSync(from);
}
