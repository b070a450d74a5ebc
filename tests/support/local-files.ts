/** A directory of this machine as the files of a mount, without a connection: for tests. */
import * as fs from "node:fs";
import { constants as osConstants } from "node:os";
import {
  RemoteError,
  type RemoteChanges,
  type RemoteFiles,
  type RemoteRange,
  type RemoteStatus,
  type RemoteTarget,
} from "../../src/vfs/client/remote-files.ts";
import type { FileTime } from "../../src/file-stat.ts";

const PAGE_ENTRIES = 100;
const RENAME_NOREPLACE = 1;

function errnoOf(thrown: unknown): RemoteError {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, "code") : undefined;
  const errno = osConstants.errno[code as keyof typeof osConstants.errno];
  if (errno === undefined) throw thrown;
  return new RemoteError(errno);
}

function time(ns: bigint): FileTime {
  return { seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n) };
}

function statusOf(stats: fs.BigIntStats): RemoteStatus {
  return {
    ino: stats.ino,
    dev: stats.dev,
    birth: stats.birthtimeNs,
    mode: Number(stats.mode),
    nlink: Number(stats.nlink),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    rdev: Number(stats.rdev),
    size: Number(stats.size),
    blocks: Number(stats.blocks),
    atime: time(stats.atimeNs),
    mtime: time(stats.mtimeNs),
    ctime: time(stats.ctimeNs),
    blksize: Number(stats.blksize),
  };
}

/** The files below a directory. Operations are recorded by name, with their path. */
export class LocalFiles implements RemoteFiles {
  readonly maxReadBytes: number = 1 << 20;
  readonly maxWriteBytes: number = 1 << 20;
  /** What was asked for, such as `getStatus a/b`. */
  readonly calls: string[] = [];
  /** Called before each operation with its name; may throw, or wait. */
  before: (call: string) => Promise<void> | void = () => undefined;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  #path(path: Uint8Array): Buffer {
    return Buffer.concat([Buffer.from(`${this.#root}/`), path]);
  }

  async #run<T>(call: string, path: Uint8Array | undefined, action: () => T): Promise<T> {
    const text = path === undefined ? call : `${call} ${Buffer.from(path).toString("latin1")}`;
    this.calls.push(text);
    await this.before(text);
    try {
      return action();
    } catch (thrown) {
      throw thrown instanceof RemoteError ? thrown : errnoOf(thrown);
    }
  }

  #stat({ path, handle }: RemoteTarget): RemoteStatus {
    if (handle !== undefined) return statusOf(fs.fstatSync(handle, { bigint: true }));
    if (path === undefined) throw new RemoteError(osConstants.errno.ENOENT);
    return statusOf(fs.lstatSync(this.#path(path), { bigint: true }));
  }

  getStatus(target: RemoteTarget) {
    return this.#run("getStatus", target.path, () => this.#stat(target));
  }

  setStatus(target: RemoteTarget, changes: RemoteChanges) {
    return this.#run("setStatus", target.path, () => {
      const { handle } = target;
      const before = this.#stat(target);
      const path = target.path === undefined ? "" : this.#path(target.path);
      const isLink = (before.mode & 0o170000) === 0o120000;
      if (changes.size !== undefined) {
        if (handle === undefined) fs.truncateSync(path as string, changes.size);
        else fs.ftruncateSync(handle, changes.size);
      }
      if (changes.uid !== undefined || changes.gid !== undefined) {
        const owner = [changes.uid ?? before.uid, changes.gid ?? before.gid] as const;
        if (handle === undefined) fs.lchownSync(path, ...owner);
        else fs.fchownSync(handle, ...owner);
      }
      if (changes.mode !== undefined) {
        if (handle === undefined) fs.chmodSync(path, changes.mode & 0o7777);
        else fs.fchmodSync(handle, changes.mode & 0o7777);
      }
      if (changes.atime !== undefined || changes.mtime !== undefined) {
        const seconds = (change: FileTime | "now" | undefined, old: FileTime) => {
          if (change === "now") return Date.now() / 1000;
          const { seconds: whole, nanoseconds } = change ?? old;
          return whole + nanoseconds / 1e9;
        };
        const times = [
          seconds(changes.atime, before.atime),
          seconds(changes.mtime, before.mtime),
        ] as const;
        if (handle !== undefined) fs.futimesSync(handle, ...times);
        else if (isLink) fs.lutimesSync(path, ...times);
        else fs.utimesSync(path, ...times);
      }
      return this.#stat(target);
    });
  }

  readLink(path: Uint8Array) {
    return this.#run("readLink", path, () =>
      fs.readlinkSync(this.#path(path), { encoding: "buffer" }),
    );
  }

  makeSymlink(path: Uint8Array, target: Uint8Array) {
    return this.#run("makeSymlink", path, () => {
      fs.symlinkSync(Buffer.from(target), this.#path(path));
      return this.#stat({ path, handle: undefined });
    });
  }

  makeNode(path: Uint8Array, mode: number) {
    return this.#run("makeNode", path, () => {
      const type = mode & 0o170000;
      if (type === 0o010000) Bun.spawnSync(["mkfifo", this.#path(path).toString()]);
      else if (type === 0o100000) fs.closeSync(fs.openSync(this.#path(path), "wx", mode & 0o7777));
      else throw new RemoteError(osConstants.errno.EPERM);
      return this.#stat({ path, handle: undefined });
    });
  }

  makeDirectory(path: Uint8Array, mode: number) {
    return this.#run("makeDirectory", path, () => {
      fs.mkdirSync(this.#path(path), mode & 0o7777);
      return this.#stat({ path, handle: undefined });
    });
  }

  unlink(path: Uint8Array) {
    return this.#run("unlink", path, () => fs.unlinkSync(this.#path(path)));
  }

  removeDirectory(path: Uint8Array) {
    return this.#run("removeDirectory", path, () => fs.rmdirSync(this.#path(path)));
  }

  rename(from: Uint8Array, to: Uint8Array, flags: number) {
    return this.#run("rename", from, () => {
      if (flags === RENAME_NOREPLACE && fs.existsSync(this.#path(to))) {
        throw new RemoteError(osConstants.errno.EEXIST);
      }
      if (flags > RENAME_NOREPLACE) {
        const aside = Buffer.concat([this.#path(from), Buffer.from(".exchanged")]);
        fs.renameSync(this.#path(from), aside);
        fs.renameSync(this.#path(to), this.#path(from));
        fs.renameSync(aside, this.#path(to));
        return;
      }
      fs.renameSync(this.#path(from), this.#path(to));
    });
  }

  link(existing: Uint8Array, path: Uint8Array) {
    return this.#run("link", path, () => {
      fs.linkSync(this.#path(existing), this.#path(path));
      return this.#stat({ path, handle: undefined });
    });
  }

  #opened(path: Uint8Array, flags: number, mode?: number) {
    const handle = fs.openSync(this.#path(path), flags, mode);
    return { handle, status: this.#stat({ path: undefined, handle }) };
  }

  open(path: Uint8Array, flags: number) {
    return this.#run("open", path, () => this.#opened(path, flags));
  }

  create(path: Uint8Array, flags: number, mode: number) {
    return this.#run("create", path, () => this.#opened(path, flags, mode & 0o7777));
  }

  read(handle: number, offset: number, size: number) {
    return this.#run("read", undefined, () => {
      const bytes = new Uint8Array(size);
      return bytes.subarray(0, fs.readSync(handle, bytes, 0, size, offset));
    });
  }

  write(handle: number, offset: number, data: Uint8Array) {
    return this.#run("write", undefined, () => fs.writeSync(handle, data, 0, data.length, offset));
  }

  release(handle: number) {
    return this.#run("release", undefined, () => fs.closeSync(handle));
  }

  fsync(handle: number, isDataOnly: boolean) {
    return this.#run("fsync", undefined, () =>
      isDataOnly ? fs.fdatasyncSync(handle) : fs.fsyncSync(handle),
    );
  }

  openDirectory(path: Uint8Array) {
    return this.#run("openDirectory", path, () => fs.openSync(this.#path(path), "r"));
  }

  list(_handle: number, path: Uint8Array, from: bigint) {
    return this.#run("list", path, () => {
      const names = fs.readdirSync(this.#path(path), { encoding: "buffer" });
      const end = Number(from) + PAGE_ENTRIES;
      const sorted = names.sort(Buffer.compare).slice(Number(from), end);
      const prefix = path.length === 0 ? path : Buffer.concat([path, Buffer.from("/")]);
      const entries = sorted.map((name) => {
        const stat = this.#stat({ path: Buffer.concat([prefix, name]), handle: undefined });
        return { name: new Uint8Array(name), type: stat.mode >>> 12, ino: stat.ino, stat };
      });
      return { entries, next: end < names.length ? BigInt(end) : undefined };
    });
  }

  statFilesystem() {
    return this.#run("statFilesystem", undefined, () => {
      const { blocks, bfree, bavail, files, ffree, bsize } = fs.statfsSync(this.#root);
      return { blocks, bfree, bavail, files, ffree, bsize, frsize: bsize, namelen: 255 };
    });
  }

  fallocate() {
    return this.#unsupported("fallocate");
  }

  seek() {
    return this.#unsupported("seek");
  }

  copyRange(_from: RemoteRange, _to: RemoteRange) {
    return this.#unsupported("copyRange");
  }

  getXattr() {
    return this.#unsupported("getXattr");
  }

  setXattr() {
    return this.#unsupported("setXattr");
  }

  listXattr() {
    return this.#unsupported("listXattr");
  }

  removeXattr() {
    return this.#unsupported("removeXattr");
  }

  #unsupported(call: string): Promise<never> {
    return this.#run(call, undefined, () => {
      throw new RemoteError(osConstants.errno.ENOSYS);
    });
  }
}
