/**
 * The files of a Go server: absolute paths as text, one request at a time, and less of a file than Linux
 * has. What the dialect lacks is answered here: owners and times that are set stay as they are, as with the
 * peer's own guest; links, device nodes, holes and copies inside the host are refused.
 */
import type { FileSystemFacts } from "../../file-stat.ts";
import { ERRNO } from "../../ffi/errno.ts";
import {
  direntType,
  FileType,
  OpenFlag,
  RenameFlag,
  typeOfMode,
} from "../../protocols/vfs/file-numbers.ts";
import type { GoRequest, GoResponse, GoStat } from "../../protocols/vfs/go-messages.ts";
import { fromGoMode, goPathInode, toGoRequestMode } from "../../protocols/vfs/go-mode.ts";
import type { GoOperation } from "../../protocols/vfs/operations.ts";
import {
  RemoteError,
  type RemoteChanges,
  type RemoteFiles,
  type RemoteOpened,
  type RemotePage,
  type RemoteStatus,
  type RemoteTarget,
} from "./remote-files.ts";

/** Sends a request and resolves with its answer, whose errno is 0; rejects with a {@link RemoteError}. */
export type AskGo = (request: Partial<GoRequest> & { op: GoOperation }) => Promise<GoResponse>;

/** The largest read and write that were seen between Go peers, in bytes. */
const MAX_TRANSFER_BYTES = 131_072;
const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;
const NAME_MAX = 255;
const SLASH = 0x2f;

const fatalText = new TextDecoder("utf-8", { fatal: true });
const EMPTY = new Uint8Array(0);

/** Facts that the dialect does not have. */
const FILE_SYSTEM: FileSystemFacts = {
  ...{ bsize: BLOCK_BYTES, frsize: BLOCK_BYTES, blocks: 0, bfree: 0, bavail: 0 },
  ...{ files: 0, ffree: 0, namelen: NAME_MAX },
};

/** Files of a Go server. */
export class GoFiles implements RemoteFiles {
  readonly maxReadBytes = MAX_TRANSFER_BYTES;
  readonly maxWriteBytes = MAX_TRANSFER_BYTES;
  readonly #ask: AskGo;
  readonly #root: string;
  /** Where the last writes of open files end, by their handles. */
  readonly #ends = new Map<number, number>();

  /** @param root where the server expects the files: the mount point of its own guest. */
  constructor(ask: AskGo, root: string) {
    this.#ask = ask;
    this.#root = root;
  }

  #path(path: Uint8Array): string {
    if (path.length === 0) return this.#root;
    // The server would answer EIO.
    if (path.length - path.lastIndexOf(SLASH) - 1 > NAME_MAX) {
      throw new RemoteError(ERRNO.ENAMETOOLONG);
    }
    try {
      return `${this.#root === "/" ? "" : this.#root}/${fatalText.decode(path)}`;
    } catch {
      throw new RemoteError(ERRNO.EILSEQ);
    }
  }

  #statusOf(path: Uint8Array, stat: GoStat | undefined): RemoteStatus {
    if (stat === undefined) throw new RemoteError(ERRNO.EIO);
    const { size, isDirectory } = stat;
    const time = { seconds: stat.mtime, nanoseconds: 0 };
    return {
      ino: stat.ino === 0n ? goPathInode(this.#path(path), isDirectory) : stat.ino,
      ...{ dev: 0n, birth: 0n, mode: fromGoMode(stat.mode), nlink: isDirectory ? 2 : 1 },
      ...{ uid: 0, gid: 0, rdev: 0, size, blocks: Math.ceil(size / SECTOR_BYTES) },
      ...{ atime: time, mtime: time, ctime: time, blksize: BLOCK_BYTES },
    };
  }

  async #exists(path: Uint8Array): Promise<boolean> {
    try {
      await this.#ask({ op: "getattr", path: this.#path(path) });
      return true;
    } catch (thrown) {
      if (thrown instanceof RemoteError && thrown.errno === ERRNO.ENOENT) return false;
      throw thrown;
    }
  }

  async getStatus({ path, handle, known }: RemoteTarget): Promise<RemoteStatus> {
    if (path !== undefined) {
      const { stat } = await this.#ask({ op: "getattr", path: this.#path(path) });
      return this.#statusOf(path, stat);
    }
    // The server does not find a removed file, but an open one is still written and read.
    if (handle === undefined || known === undefined) throw new RemoteError(ERRNO.ENOENT);
    return { ...known, nlink: 0, size: await this.#sizeOf(handle, known.size) };
  }

  /** The size of an open file that had this size before: it can only have grown. */
  async #sizeOf(handle: number, sizeBefore: number): Promise<number> {
    let size = Math.max(sizeBefore, this.#ends.get(handle) ?? 0);
    try {
      for (;;) {
        const { length } = await this.read(handle, size, MAX_TRANSFER_BYTES);
        size += length;
        if (length < MAX_TRANSFER_BYTES) return size;
      }
    } catch (thrown) {
      // It is open for writing alone.
      if (thrown instanceof RemoteError && thrown.errno === ERRNO.EIO) return size;
      throw thrown;
    }
  }

  async setStatus({ path, handle }: RemoteTarget, changes: RemoteChanges): Promise<RemoteStatus> {
    if (path === undefined) throw new RemoteError(ERRNO.ENOENT);
    const { mode, size } = changes;
    if (mode !== undefined) {
      await this.#ask({ op: "setattr", path: this.#path(path), mode: toGoRequestMode(mode) });
    }
    if (size !== undefined) await this.#resize(path, handle, size);
    return this.getStatus({ path, handle: undefined });
  }

  /** Sizes other than 0 only grow. */
  async #resize(path: Uint8Array, handle: number | undefined, size: number): Promise<void> {
    const before = await this.getStatus({ path, handle: undefined });
    if (size === before.size) return;
    if (size === 0) {
      const { handle: emptied } = await this.#ask({
        ...{ op: "create", path: this.#path(path), mode: toGoRequestMode(before.mode) },
      });
      await this.#ask({ op: "release", handle: emptied ?? 0 });
      return;
    }
    if (size < before.size) throw new RemoteError(ERRNO.EOPNOTSUPP);
    const own = handle === undefined ? await this.open(path, OpenFlag.WriteOnly) : undefined;
    try {
      await this.write(own?.handle ?? handle ?? 0, size - 1, Uint8Array.of(0));
    } finally {
      if (own !== undefined) await this.release(own.handle);
    }
  }

  readLink(): Promise<Uint8Array> {
    return refuse(ERRNO.EINVAL);
  }

  makeSymlink(): Promise<RemoteStatus> {
    return refuse(ERRNO.EPERM);
  }

  async makeNode(path: Uint8Array, mode: number): Promise<RemoteStatus> {
    if (typeOfMode(mode) !== FileType.Regular) throw new RemoteError(ERRNO.EPERM);
    const { handle, status } = await this.create(path, OpenFlag.Exclusive, mode);
    await this.release(handle);
    return status;
  }

  async makeDirectory(path: Uint8Array, mode: number): Promise<RemoteStatus> {
    const { stat } = await this.#ask({
      ...{ op: "mkdir", path: this.#path(path), mode: toGoRequestMode(mode) },
    });
    return this.#statusOf(path, stat);
  }

  async unlink(path: Uint8Array): Promise<void> {
    await this.#ask({ op: "unlink", path: this.#path(path) });
  }

  async removeDirectory(path: Uint8Array): Promise<void> {
    await asNotEmpty(this.#ask({ op: "rmdir", path: this.#path(path) }));
  }

  async rename(from: Uint8Array, to: Uint8Array, flags: number): Promise<void> {
    if (flags > RenameFlag.NoReplace) throw new RemoteError(ERRNO.EINVAL);
    if (flags === RenameFlag.NoReplace && (await this.#exists(to))) {
      throw new RemoteError(ERRNO.EEXIST);
    }
    const renaming = { op: "rename", path: this.#path(from), newPath: this.#path(to) } as const;
    await asNotEmpty(this.#ask(renaming));
  }

  link(): Promise<RemoteStatus> {
    return refuse(ERRNO.EPERM);
  }

  async open(path: Uint8Array, flags: number): Promise<RemoteOpened> {
    // With O_APPEND every write fails at the Go server; the kernel's offsets are right without it.
    const request = {
      op: "open",
      path: this.#path(path),
      flags: flags & ~OpenFlag.Append,
    } as const;
    const { handle } = await this.#ask(request);
    return { handle: handle ?? 0, status: undefined };
  }

  async create(path: Uint8Array, flags: number, mode: number) {
    // The dialect has no flags: an existing file would be emptied.
    if ((flags & OpenFlag.Exclusive) !== 0 && (await this.#exists(path)))
      throw new RemoteError(ERRNO.EEXIST);
    const { handle, stat } = await this.#ask({
      ...{ op: "create", path: this.#path(path), mode: toGoRequestMode(mode) },
    });
    return { handle: handle ?? 0, status: this.#statusOf(path, stat) };
  }

  async read(handle: number, offset: number, size: number): Promise<Uint8Array> {
    const { data = EMPTY } = await this.#ask({ op: "read", handle, offset, size });
    if (data.length > size) throw new RemoteError(ERRNO.EIO);
    return data;
  }

  async write(handle: number, offset: number, data: Uint8Array): Promise<number> {
    const { written = 0 } = await this.#ask({ op: "write", handle, offset, data });
    const count = Math.min(written, data.length);
    this.#ends.set(handle, Math.max(this.#ends.get(handle) ?? 0, offset + count));
    return count;
  }

  async release(handle: number): Promise<void> {
    this.#ends.delete(handle);
    await this.#ask({ op: "release", handle });
  }

  async fsync(handle: number): Promise<void> {
    await this.#ask({ op: "fsync", handle });
  }

  async openDirectory(): Promise<number> {
    return 0;
  }

  async list(_handle: number, path: Uint8Array): Promise<RemotePage> {
    const { entries = [] } = await this.#ask({ op: "readdir", path: this.#path(path) });
    const listed = entries.map(({ name, mode, ino }) => ({
      name: new TextEncoder().encode(name),
      type: direntType(fromGoMode(mode)),
      ino: ino === 0n ? 1n : ino,
      stat: undefined,
    }));
    return { entries: listed, next: undefined };
  }

  async statFilesystem(): Promise<FileSystemFacts> {
    return FILE_SYSTEM;
  }

  fallocate(): Promise<void> {
    return refuse(ERRNO.ENOSYS);
  }

  seek(): Promise<number> {
    return refuse(ERRNO.ENOSYS);
  }

  copyRange(): Promise<number> {
    return refuse(ERRNO.ENOSYS);
  }

  getXattr(): Promise<Uint8Array> {
    return refuse(ERRNO.EOPNOTSUPP);
  }

  setXattr(): Promise<void> {
    return refuse(ERRNO.EOPNOTSUPP);
  }

  listXattr(): Promise<Uint8Array> {
    return refuse(ERRNO.EOPNOTSUPP);
  }

  removeXattr(): Promise<void> {
    return refuse(ERRNO.EOPNOTSUPP);
  }
}

/** The Go server answers ENOTEMPTY as EEXIST, which these operations have for no other reason. */
async function asNotEmpty(answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (thrown) {
    const isNotEmpty = thrown instanceof RemoteError && thrown.errno === ERRNO.EEXIST;
    throw isNotEmpty ? new RemoteError(ERRNO.ENOTEMPTY) : thrown;
  }
}

async function refuse(errno: number): Promise<never> {
  throw new RemoteError(errno);
}
