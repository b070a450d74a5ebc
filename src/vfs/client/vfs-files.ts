/** The files of an export over a connection between two of ours. */
import type { FileTime } from "../../file-stat.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { unpackEntries, type VfsEntry } from "../../protocols/vfs/entries.ts";
import { OpenFlag } from "../../protocols/vfs/file-numbers.ts";
import { UTIME_NOW } from "../../protocols/vfs/fields.ts";
import type { VfsWelcome } from "../../protocols/vfs/hello.ts";
import { WRITE_APPENDS } from "../../protocols/vfs/operations.ts";
import type { VfsRequest } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import {
  RemoteError,
  type RemoteChanges,
  type RemoteFiles,
  type RemoteOpened,
  type RemoteOwner,
  type RemotePage,
  type RemoteRange,
  type RemoteStatus,
  type RemoteTarget,
} from "./remote-files.ts";
import type { VfsConnection } from "./vfs-connection.ts";

/** Bytes of one part of a directory: about 800 names with their facts. */
const PAGE_BYTES = 128 * 1024;
/** Flag of fsync: data alone. */
const DATA_ONLY = 1;

const EMPTY = new Uint8Array(0);

function timeOf(change: FileTime | "now" | undefined): FileTime | undefined {
  return change === "now" ? { seconds: 0, nanoseconds: UTIME_NOW } : change;
}

/** Returns a field that an answer must have. @throws {RemoteError} EIO if it is missing. */
function needed<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new RemoteError(ERRNO.EIO);
  return value;
}

/** Files of a vsockbox on the host. */
export class VfsFiles implements RemoteFiles {
  readonly maxReadBytes: number;
  readonly maxWriteBytes: number;
  readonly #connection: VfsConnection;

  constructor(connection: VfsConnection, { maxReadBytes, maxWriteBytes }: VfsWelcome) {
    this.#connection = connection;
    this.maxReadBytes = maxReadBytes;
    this.maxWriteBytes = maxWriteBytes;
  }

  #ask(request: VfsRequest): Promise<VfsResponse> {
    return this.#connection.request(request);
  }

  async #statusOf(request: VfsRequest): Promise<RemoteStatus> {
    return needed((await this.#ask(request)).stat);
  }

  async #dataOf(request: VfsRequest): Promise<Uint8Array> {
    return (await this.#ask(request)).data ?? EMPTY;
  }

  async #do(request: VfsRequest): Promise<void> {
    await this.#ask(request);
  }

  getStatus({ path, handle }: RemoteTarget): Promise<RemoteStatus> {
    return this.#statusOf({ op: "getattr", path: path ?? EMPTY, ...optionalHandle(handle) });
  }

  setStatus({ path, handle }: RemoteTarget, changes: RemoteChanges): Promise<RemoteStatus> {
    const { mode, uid, gid, size } = changes;
    const [atime, mtime] = [timeOf(changes.atime), timeOf(changes.mtime)];
    return this.#statusOf({
      op: "setAttributes",
      path: path ?? EMPTY,
      ...optionalHandle(handle),
      ...(mode === undefined ? {} : { mode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(size === undefined ? {} : { size }),
      ...(atime === undefined ? {} : { atime }),
      ...(mtime === undefined ? {} : { mtime }),
    });
  }

  readLink(path: Uint8Array): Promise<Uint8Array> {
    return this.#dataOf({ op: "readlink", path });
  }

  makeSymlink(path: Uint8Array, target: Uint8Array, { uid, gid }: RemoteOwner) {
    return this.#statusOf({ op: "symlink", target, newPath: path, uid, gid });
  }

  makeNode(path: Uint8Array, mode: number, rdev: number, { uid, gid }: RemoteOwner) {
    return this.#statusOf({ op: "mknod", path, mode, rdev, uid, gid });
  }

  makeDirectory(path: Uint8Array, mode: number, { uid, gid }: RemoteOwner) {
    return this.#statusOf({ op: "mkdir", path, mode, uid, gid });
  }

  unlink(path: Uint8Array): Promise<void> {
    return this.#do({ op: "unlink", path });
  }

  removeDirectory(path: Uint8Array): Promise<void> {
    return this.#do({ op: "rmdir", path });
  }

  rename(from: Uint8Array, to: Uint8Array, flags: number): Promise<void> {
    return this.#do({ op: "rename", path: from, newPath: to, flags });
  }

  link(existing: Uint8Array, path: Uint8Array): Promise<RemoteStatus> {
    return this.#statusOf({ op: "link", path: existing, newPath: path });
  }

  async open(path: Uint8Array, flags: number): Promise<RemoteOpened> {
    const { handle, stat } = await this.#ask({ op: "open", path, flags });
    return { handle: needed(handle), status: stat };
  }

  async create(path: Uint8Array, flags: number, mode: number, { uid, gid }: RemoteOwner) {
    const { handle, stat } = await this.#ask({ op: "create", path, flags, mode, uid, gid });
    return { handle: needed(handle), status: needed(stat) };
  }

  async read(handle: number, offset: number, size: number): Promise<Uint8Array> {
    const data = await this.#dataOf({ op: "read", handle, offset, size });
    if (data.length > size) throw new RemoteError(ERRNO.EIO);
    return data;
  }

  async write(handle: number, offset: number, data: Uint8Array, isAppend = false) {
    const flags = isAppend ? WRITE_APPENDS : undefined;
    const written = needed((await this.#connection.write({ handle, offset, flags }, data)).written);
    if (written > data.length) throw new RemoteError(ERRNO.EIO);
    return written;
  }

  release(handle: number): Promise<void> {
    return this.#do({ op: "release", handle });
  }

  fsync(handle: number, isDataOnly: boolean): Promise<void> {
    return this.#do({ op: "fsync", handle, flags: isDataOnly ? DATA_ONLY : 0 });
  }

  async openDirectory(path: Uint8Array): Promise<number> {
    return needed((await this.#ask({ op: "open", path, flags: OpenFlag.Directory })).handle);
  }

  async list(handle: number, _path: Uint8Array, from: bigint): Promise<RemotePage> {
    const data = await this.#dataOf({
      ...{ op: "readdirPlus", handle, offset: from, size: PAGE_BYTES },
    });
    const entries = unpacked(data);
    return { entries, next: entries.at(-1)?.offset };
  }

  async statFilesystem() {
    return needed((await this.#ask({ op: "statfs" })).fileSystem);
  }

  fallocate(handle: number, mode: number, offset: number, length: number): Promise<void> {
    return this.#do({ op: "fallocate", handle, offset, length, flags: mode });
  }

  async seek(handle: number, offset: number, whence: number): Promise<number> {
    return needed((await this.#ask({ op: "seek", handle, offset, whence })).offset);
  }

  async copyRange(from: RemoteRange, to: RemoteRange, length: number): Promise<number> {
    const { written = 0 } = await this.#ask({
      ...{ op: "copyRange", handle: from.handle, offset: from.offset, length },
      ...{ toHandle: to.handle, toOffset: to.offset },
    });
    return Math.min(written, length);
  }

  getXattr(path: Uint8Array, name: Uint8Array): Promise<Uint8Array> {
    return this.#dataOf({ op: "getXattr", path, name });
  }

  setXattr(path: Uint8Array, name: Uint8Array, value: Uint8Array, flags: number): Promise<void> {
    return this.#do({ op: "setXattr", path, name, data: value, flags });
  }

  listXattr(path: Uint8Array): Promise<Uint8Array> {
    return this.#dataOf({ op: "listXattr", path });
  }

  removeXattr(path: Uint8Array, name: Uint8Array): Promise<void> {
    return this.#do({ op: "removeXattr", path, name });
  }
}

/** @throws {RemoteError} EIO if the host has sent what cannot be names. */
function unpacked(data: Uint8Array): VfsEntry[] {
  try {
    return unpackEntries(data);
  } catch {
    throw new RemoteError(ERRNO.EIO);
  }
}

function optionalHandle(handle: number | undefined): { handle?: number } {
  return handle === undefined ? {} : { handle };
}
