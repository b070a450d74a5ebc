/** Serves requests on the guest's file system: stat, list, glob, mkdir, rename, remove, chmod. */
import { type Operation } from "../../operations.ts";
import { chmodSync, closeSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { O_PATH, statDescriptor } from "../../ffi/directory-calls.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import { type BytesPath, bytesPath, parentOf } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { entryFacts, inodeFacts, fileKind } from "../../files/facts.ts";
import { expandGlob } from "../../files/glob.ts";
import { isLinkMode, openEntry, type ResolvedPath, resolvePath } from "../../files/resolve-path.ts";
import type { FileOperation } from "../../protocols/agent/channel-requests.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import type { Channel } from "../channel/channel.ts";
import { moveFile } from "./move-file.ts";
import { removeBeneath, removeFile } from "./remove-file.ts";
import { fileError } from "../transfer/transfer.ts";
import { yieldBetweenEntries } from "./cooperative-work.ts";

/** The requests as operations, for errors. */
const OPERATIONS = {
  stat: "inspect",
  list: "list",
  glob: "list",
  mkdir: "create directory",
  remove: "remove",
  rename: "rename",
} as const satisfies Readonly<Record<FileOperation["op"], Operation>>;

/** Limit of the matches of one pattern. */
const MAX_MATCHES = 100_000;

/**
 * Performs a request.
 *
 * @returns its result.
 * @throws {VsockboxError} IO with the errno's name and the path in words.
 */
export async function runFileRequest(
  channel: Channel,
  request: FileOperation,
): Promise<JsonObject> {
  const path = bytesPath(request.op === "glob" ? request.pattern : request.path);
  const pause = yieldBetweenEntries(OPERATIONS[request.op], () => channel.isClosed);
  try {
    switch (request.op) {
      case "stat":
        return statResult(path, request.follow);
      case "list":
        return await list(channel, path, pause);
      case "glob":
        for (const match of expandGlob(path, MAX_MATCHES)) {
          await channel.sendRecord({ path: encodePath(match) });
        }
        return {};
      case "mkdir":
        makeDirectory(path, request.parents, request.mode);
        return {};
      case "remove":
        return request.beneath === undefined
          ? await removeFile(path, request, pause)
          : await removeBeneath(bytesPath(request.beneath), path, pause);
      case "rename":
        await moveFile(path, bytesPath(request.to), request.replace, pause);
        return {};
    }
  } catch (thrown) {
    throw fileError(OPERATIONS[request.op], path, thrown);
  }
}

function statResult(path: BytesPath, follow: boolean): JsonObject {
  using resolved = resolvePath(path, follow);
  if (!follow) return resolvedFacts(resolved);
  const fd = openEntry(resolved, O_PATH);
  try {
    return { ...inodeFacts(statDescriptor(fd)), realPath: encodePath(realPathOf(path)) };
  } finally {
    closeSync(fd);
  }
}

/** Facts of the file at a path; of a symbolic link, those of the link itself. */
function resolvedFacts({ directory, name }: ResolvedPath): JsonObject {
  const facts = name === undefined ? inodeFacts(directory.status()) : entryFacts(directory, name);
  if (facts === undefined) throw notThere();
  return facts;
}

async function list(
  channel: Channel,
  path: BytesPath,
  pause: () => Promise<void>,
): Promise<JsonObject> {
  using resolved = resolvePath(path, false);
  if (!leadsToDirectory(path, resolved)) {
    await channel.sendRecord({ name: encodePath(path), ...resolvedFacts(resolved) });
    return { isDirectory: false };
  }
  using target = resolvePath(path, true);
  using directory = DirectoryHandle.adopt(
    openEntry(target, constants.O_RDONLY | constants.O_DIRECTORY),
  );
  const names = directory.entries().map(({ name }) => name);
  for (const name of names.sort(Buffer.compare)) {
    await pause();
    // It may have been removed between the two calls.
    const facts = entryFacts(directory, name);
    if (facts !== undefined) await channel.sendRecord({ name: encodePath(name), ...facts });
  }
  return { isDirectory: true };
}

function leadsToDirectory(path: BytesPath, { name, status }: ResolvedPath): boolean {
  if (name === undefined) return true;
  if (status === undefined || !isLinkMode(status.mode)) {
    return status !== undefined && fileKind(status) === "directory";
  }
  try {
    using target = resolvePath(path, true);
    const fd = openEntry(target, O_PATH);
    try {
      return fileKind(statDescriptor(fd)) === "directory";
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
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

function notThere(): Error {
  return Object.assign(new Error("ENOENT: no such file or directory, stat"), { code: "ENOENT" });
}
