/**
 * Files that a program provides, as an export: each request of a guest becomes a call of the program with a
 * path. What the program does not have is answered with ENOSYS.
 */
import type { FileStat } from "../../file-stat.ts";
import { constants } from "node:os";
import { ERRNO } from "../../ffi/errno.ts";
import { EntryPacker } from "../../protocols/vfs/entries.ts";
import { UTIME_NOW } from "../../protocols/vfs/fields.ts";
import {
  direntType,
  FileType,
  OpenFlag,
  PERMISSION_BITS,
  RenameFlag,
} from "../../protocols/vfs/file-numbers.ts";
import { goPathInode } from "../../protocols/vfs/go-mode.ts";
import { MAX_IO_BYTES } from "../../protocols/vfs/operations.ts";
import type { VfsRequest, VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import type { ExportedFiles, FileSession } from "./file-session.ts";

/** Facts of a provided file. */
export interface ProvidedFile {
  type: "file" | "directory" | "link";
  /** In bytes (default: 0, or the length of a link's target). */
  size?: number | undefined;
  /** Permission bits (default: 0644, of directories 0755). */
  mode?: number | undefined;
  /** In milliseconds since 1970 (default: 0). */
  mtimeMs?: number | undefined;
  /** Text of a link. */
  target?: string | undefined;
}

type Awaitable<Value> = Value | Promise<Value>;

/**
 * Files of a program. Paths have no slash at either end; the root is empty. An error that is thrown is the
 * guest's: its `code`, such as `ENOSPC`, or EIO.
 */
export interface FilesProvider {
  /** Returns the facts of a file; undefined if it does not exist. */
  stat(path: string): Awaitable<ProvidedFile | undefined>;
  /** Returns the names in a directory. */
  list?(path: string): Awaitable<readonly string[]>;
  /** Returns the bytes from an offset on, at most `size` of them; fewer at the end of the file alone. */
  read?(path: string, offset: number, size: number): Awaitable<Uint8Array>;
  /** Writes all of the bytes, which are valid until it returns or resolves. */
  write?(path: string, offset: number, data: Uint8Array): Awaitable<void>;
  /** Sets the size of a file: the rest is cut off, or filled with zeros. */
  truncate?(path: string, size: number): Awaitable<void>;
  /** Makes an empty file. */
  create?(path: string, mode: number): Awaitable<void>;
  makeDirectory?(path: string, mode: number): Awaitable<void>;
  makeLink?(path: string, target: string): Awaitable<void>;
  /** Removes a file or an empty directory. */
  remove?(path: string): Awaitable<void>;
  /** Renames a file, or replaces another one by it. */
  rename?(from: string, to: string): Awaitable<void>;
  setMode?(path: string, mode: number): Awaitable<void>;
  setTime?(path: string, mtimeMs: number): Awaitable<void>;
  /** Called when the export is closed. */
  close?(): void;
}

const TYPES = {
  file: { mode: FileType.Regular, permissions: 0o644 },
  directory: { mode: FileType.Directory, permissions: 0o755 },
  link: { mode: FileType.Link, permissions: 0o777 },
} as const;

const BLOCK_BYTES = 512;
const IO_BYTES = 4096;
const ROOT_INODE = 1n;
const SMALLEST_PAGE_BYTES = 400;

/** Returns the facts of a provided file as they are sent. */
export function statOf(path: string, file: ProvidedFile): FileStat {
  const { type, target = "", size = Buffer.byteLength(target), mtimeMs = 0 } = file;
  const { mode, permissions } = TYPES[type];
  const seconds = Math.floor(mtimeMs / 1000);
  const time = { seconds, nanoseconds: Math.floor((mtimeMs - seconds * 1000) * 1_000_000) };
  return {
    ino: path === "" ? ROOT_INODE : goPathInode(path, type === "directory"),
    ...{ dev: 0n, birth: 0n, nlink: 1, uid: 0, gid: 0, rdev: 0, size },
    mode: mode | ((file.mode ?? permissions) & PERMISSION_BITS),
    blocks: Math.ceil(size / BLOCK_BYTES),
    ...{ atime: time, mtime: time, ctime: time, blksize: IO_BYTES },
  };
}

/** Thrown for an answer that is an errno. */
class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

/** The errno that an error of a program stands for. */
export function errnoOfError(thrown: unknown): number {
  if (thrown instanceof Refusal) return thrown.errno;
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, "code") : undefined;
  const numbers: Readonly<Record<string, number>> = constants.errno;
  return (typeof code === "string" ? numbers[code] : undefined) ?? ERRNO.EIO;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function textOf(path: Uint8Array): string {
  try {
    return utf8.decode(path);
  } catch {
    throw new Refusal(ERRNO.EILSEQ);
  }
}

/** An open file of a program, or the names of a directory as they were at offset 0. */
interface ProvidedHandle {
  path: string;
  isWritable: boolean;
  names: readonly string[] | undefined;
}

/** Options of an export of provided files. */
export interface ProvidedOptions {
  readonly isReadOnly: boolean;
  /** Open files of one connection. */
  readonly maxOpenFiles: number;
}

/** Files of a program as an export. */
export class ProvidedFiles implements ExportedFiles {
  readonly #provider: FilesProvider;
  readonly #options: ProvidedOptions;
  readonly features: readonly string[] = [];

  constructor(provider: FilesProvider, options: ProvidedOptions) {
    this.#provider = provider;
    this.#options = options;
  }

  get isReadOnly(): boolean {
    return this.#options.isReadOnly;
  }

  open(): FileSession {
    return new ProvidedSession(this.#provider, this.#options);
  }

  close(): void {
    this.#provider.close?.();
  }
}

/** One connection. */
class ProvidedSession implements FileSession {
  readonly #provider: FilesProvider;
  readonly #options: ProvidedOptions;
  readonly #handles = new Map<number, ProvidedHandle>();
  #last = 0;

  constructor(provider: FilesProvider, options: ProvidedOptions) {
    this.#provider = provider;
    this.#options = options;
  }

  get openFiles(): number {
    return this.#handles.size;
  }

  async handle(request: VfsRequest): Promise<VfsResponse> {
    try {
      return await this.#answer(request);
    } catch (thrown) {
      return { errno: errnoOfError(thrown) };
    }
  }

  close(): void {
    this.#handles.clear();
  }

  async #answer(request: VfsRequest): Promise<VfsResponse> {
    switch (request.op) {
      case "lookup":
        return this.#facts(textOf(request.path));
      case "getattr":
        return this.#facts(this.#named(request));
      case "setAttributes":
        return this.#setAttributes(request);
      case "open":
        return this.#open(textOf(request.path), request.flags);
      case "create":
        return this.#create(textOf(request.path), request);
      case "read": {
        const { path } = this.#file(request.handle);
        const size = Math.min(request.size, MAX_IO_BYTES);
        const data = await this.#call("read", path, request.offset, size);
        return { errno: 0, data: data.subarray(0, size) };
      }
      case "write": {
        const { path, isWritable } = this.#file(request.handle);
        if (!isWritable) throw new Refusal(ERRNO.EBADF);
        await this.#call("write", path, request.offset, request.data);
        return { errno: 0, written: request.data.length };
      }
      case "readdir":
      case "readdirPlus":
        return this.#list(request);
      case "flush":
      case "fsync":
        this.#file(request.handle);
        return { errno: 0 };
      case "release":
        this.#file(request.handle);
        this.#handles.delete(request.handle);
        return { errno: 0 };
      default:
        return this.#changeName(request);
    }
  }

  async #changeName(request: VfsRequest): Promise<VfsResponse> {
    switch (request.op) {
      case "mkdir":
        await this.#change("makeDirectory", textOf(request.path), request.mode & PERMISSION_BITS);
        return this.#facts(textOf(request.path));
      case "symlink":
        await this.#change("makeLink", textOf(request.newPath), textOf(request.target));
        return this.#facts(textOf(request.newPath));
      case "unlink":
      case "rmdir":
        return this.#remove(textOf(request.path), request.op === "rmdir");
      case "rename":
        return this.#rename(request);
      case "readlink": {
        const { type, target } = await this.#stat(textOf(request.path));
        if (type !== "link") throw new Refusal(ERRNO.EINVAL);
        return { errno: 0, data: Buffer.from(target ?? "") };
      }
      default:
        return { errno: ERRNO.ENOSYS };
    }
  }

  /** Calls the program; ENOSYS if it has no such method. */
  async #call<Name extends keyof FilesProvider>(
    name: Name,
    ...args: Parameters<NonNullable<FilesProvider[Name]>>
  ): Promise<Awaited<ReturnType<NonNullable<FilesProvider[Name]>>>> {
    const method: unknown = this.#provider[name];
    if (typeof method !== "function") throw new Refusal(ERRNO.ENOSYS);
    // The types of the arguments and of the result are those of the method.
    return (await Reflect.apply(method, this.#provider, args)) as Awaited<
      ReturnType<NonNullable<FilesProvider[Name]>>
    >;
  }

  /** Calls the program for a change; EROFS if the export is read-only. */
  async #change<Name extends keyof FilesProvider>(
    name: Name,
    ...args: Parameters<NonNullable<FilesProvider[Name]>>
  ): Promise<void> {
    if (this.#options.isReadOnly) throw new Refusal(ERRNO.EROFS);
    await this.#call(name, ...args);
  }

  async #stat(path: string): Promise<ProvidedFile> {
    const file = await this.#provider.stat(path);
    if (file === undefined) throw new Refusal(ERRNO.ENOENT);
    return file;
  }

  async #facts(path: string): Promise<VfsResponse> {
    return { errno: 0, stat: statOf(path, await this.#stat(path)) };
  }

  #file(handle: number): ProvidedHandle {
    const file = this.#handles.get(handle);
    if (file === undefined) throw new Refusal(ERRNO.EBADF);
    return file;
  }

  #named({ path, handle }: { path: Uint8Array; handle?: number | undefined }): string {
    return handle === undefined ? textOf(path) : this.#file(handle).path;
  }

  async #setAttributes(request: VfsRequestOf<"setAttributes">): Promise<VfsResponse> {
    const path = this.#named(request);
    const { mode, size, mtime } = request;
    if (size !== undefined) await this.#change("truncate", path, size);
    if (mode !== undefined) await this.#change("setMode", path, mode & PERMISSION_BITS);
    if (mtime !== undefined) {
      const isNow = mtime.nanoseconds === UTIME_NOW;
      const mtimeMs = isNow ? Date.now() : mtime.seconds * 1000 + mtime.nanoseconds / 1_000_000;
      await this.#change("setTime", path, mtimeMs);
    }
    return this.#facts(path);
  }

  async #open(path: string, flags: number): Promise<VfsResponse> {
    const isWritable = (flags & OpenFlag.Access) !== 0;
    if (isWritable && this.#options.isReadOnly) throw new Refusal(ERRNO.EROFS);
    const { type } = await this.#stat(path);
    if (type === "link") throw new Refusal(ERRNO.ELOOP);
    if (isWritable && type === "directory") throw new Refusal(ERRNO.EISDIR);
    if (isWritable && (flags & OpenFlag.Truncate) !== 0) await this.#change("truncate", path, 0);
    return this.#opened(path, isWritable);
  }

  async #opened(path: string, isWritable: boolean): Promise<VfsResponse> {
    const { stat } = await this.#facts(path);
    if (this.#handles.size >= this.#options.maxOpenFiles) throw new Refusal(ERRNO.EMFILE);
    this.#handles.set(++this.#last, { path, isWritable, names: undefined });
    return { errno: 0, stat, handle: this.#last };
  }

  async #create(path: string, { flags, mode }: VfsRequestOf<"create">): Promise<VfsResponse> {
    if (this.#options.isReadOnly) throw new Refusal(ERRNO.EROFS);
    if ((await this.#provider.stat(path)) !== undefined) {
      if ((flags & OpenFlag.Exclusive) !== 0) throw new Refusal(ERRNO.EEXIST);
      return this.#open(path, flags);
    }
    await this.#change("create", path, mode & PERMISSION_BITS);
    return this.#opened(path, (flags & OpenFlag.Access) !== 0);
  }

  async #remove(path: string, isDirectory: boolean): Promise<VfsResponse> {
    if (path === "") throw new Refusal(ERRNO.EBUSY);
    const { type } = await this.#stat(path);
    if (isDirectory !== (type === "directory")) {
      throw new Refusal(isDirectory ? ERRNO.ENOTDIR : ERRNO.EISDIR);
    }
    if (isDirectory && (await this.#call("list", path)).length > 0) {
      throw new Refusal(ERRNO.ENOTEMPTY);
    }
    await this.#change("remove", path);
    return { errno: 0 };
  }

  async #rename({ path, newPath, flags }: VfsRequestOf<"rename">): Promise<VfsResponse> {
    const [from, to] = [textOf(path), textOf(newPath)];
    if (from === "" || to === "") throw new Refusal(ERRNO.EBUSY);
    if (flags > RenameFlag.NoReplace) throw new Refusal(ERRNO.EINVAL);
    if (flags === RenameFlag.NoReplace && (await this.#provider.stat(to)) !== undefined) {
      throw new Refusal(ERRNO.EEXIST);
    }
    await this.#change("rename", from, to);
    for (const handle of this.#handles.values()) {
      if (handle.path === from) handle.path = to;
      else if (handle.path.startsWith(`${from}/`))
        handle.path = to + handle.path.slice(from.length);
    }
    return { errno: 0 };
  }

  async #list(
    request: VfsRequestOf<"readdir"> | VfsRequestOf<"readdirPlus">,
  ): Promise<VfsResponse> {
    const directory = this.#file(request.handle);
    const { path } = directory;
    if (request.size < SMALLEST_PAGE_BYTES) throw new Refusal(ERRNO.EINVAL);
    if (request.offset === 0n || directory.names === undefined) {
      if ((await this.#stat(path)).type !== "directory") throw new Refusal(ERRNO.ENOTDIR);
      directory.names = await this.#call("list", path);
    }
    const packer = new EntryPacker(Math.min(request.size, MAX_IO_BYTES));
    const { names } = directory;
    for (let index = Number(request.offset); index < names.length; index++) {
      const name = names[index] ?? "";
      const child = path === "" ? name : `${path}/${name}`;
      const file = await this.#provider.stat(child);
      if (file === undefined) continue;
      const stat = statOf(child, file);
      const entry = { name: Buffer.from(name), type: direntType(stat.mode), ino: stat.ino };
      const offset = BigInt(index + 1);
      const facts = request.op === "readdirPlus" ? stat : undefined;
      if (!packer.add({ ...entry, offset, stat: facts })) break;
    }
    return { errno: 0, data: packer.packed };
  }
}
