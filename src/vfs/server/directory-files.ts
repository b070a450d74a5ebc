/**
 * A directory of the host as files of a program: a layer of an overlay. No path leaves the directory. FIFOs,
 * sockets, devices, and names that are not UTF-8 are not shown.
 */
import { constants, readdirSync } from "node:fs";
import { errnoName } from "../../system-errors.ts";
import { O_PATH } from "../../ffi/directory-calls.ts";
import { factsOf } from "../../ffi/file-facts.ts";
import {
  changeMode,
  changeSize,
  changeTimes,
  makeDirectoryIn,
  makeLinkIn,
  openIn,
  readFrom,
  readLinkIn,
  removeIn,
  renameIn,
  reopen,
  writeTo,
} from "../../ffi/file-calls.ts";
import { ptr } from "../../ffi/libc.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { bytesPath } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import type { FileStat } from "../../file-stat.ts";
import { FileType, PERMISSION_BITS, typeOfMode } from "../../protocols/vfs/file-numbers.ts";
import { ExportRoot } from "./export-root.ts";
import { HiddenNames } from "./hidden-names.ts";
import { ProviderError } from "./provider-error.ts";
import type { FilesProvider, ProvidedFile } from "./provided-files.ts";

const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, O_NONBLOCK, O_DIRECTORY } = constants;

const TYPES: ReadonlyMap<number, ProvidedFile["type"]> = new Map([
  [FileType.Regular, "file"],
  [FileType.Directory, "directory"],
  [FileType.Link, "link"],
]);

const bytesOf = (path: string) => new TextEncoder().encode(path);
const text = new TextDecoder("utf-8", { fatal: true });

/** Returns a result, or throws the errno that a negative number is. */
function checked<Result>(result: Result | number): Result | number {
  if (typeof result === "number" && result < 0) throw new ProviderError(errnoName(-result));
  return result;
}

/** Returns bytes as text; undefined if they are not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return text.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The files below a directory. */
export class DirectoryFiles implements FilesProvider {
  readonly #directory: DirectoryHandle;
  readonly #root: ExportRoot;

  /** @throws {VsockboxError} if the directory cannot be opened. */
  constructor(path: string) {
    this.#directory = DirectoryHandle.open(bytesPath(path));
    this.#root = new ExportRoot(this.#directory.fd, new HiddenNames([]), "none");
  }

  #withFile<Result>(path: string, use: (fd: number) => Result): Result | number {
    return checked(this.#root.withFile(bytesOf(path), use));
  }

  /** Calls `use` with a regular file that is opened for it, or with a directory. */
  #withOpen<Result>(path: string, flags: number, use: (fd: number) => Result): Result | number {
    return this.#withFile(path, (found) => {
      const facts = factsOf(found);
      const type = typeof facts === "number" ? undefined : TYPES.get(typeOfMode(facts.mode));
      const isWanted = type === ((flags & O_DIRECTORY) === 0 ? "file" : "directory");
      if (!isWanted) throw new ProviderError(type === "directory" ? "EISDIR" : "ENOTDIR");
      const fd = reopen(found, flags | O_NONBLOCK);
      checked(fd);
      try {
        return checked(use(fd));
      } finally {
        closeDescriptor(fd);
      }
    });
  }

  #withPlace(path: string, use: Parameters<ExportRoot["withPlace"]>[1]): void {
    checked(this.#root.withPlace(bytesOf(path), use));
  }

  stat(path: string): ProvidedFile | undefined {
    const facts = this.#root.withFile(bytesOf(path), factsOf);
    return typeof facts === "number" ? missing(facts) : this.#provided(path, facts);
  }

  #provided(path: string, { mode, size, mtime }: FileStat): ProvidedFile | undefined {
    const type = TYPES.get(typeOfMode(mode));
    if (type === undefined) return undefined;
    const mtimeMs = mtime.seconds * 1000 + mtime.nanoseconds / 1_000_000;
    const file = { type, mode: mode & PERMISSION_BITS, mtimeMs, size };
    if (type !== "link") return file;
    const target = this.#root.withPlace(bytesOf(path), readLinkIn);
    return typeof target === "number" ? undefined : { ...file, target: textOf(target) };
  }

  list(path: string): readonly string[] {
    const names = this.#withOpen(path, O_RDONLY | O_DIRECTORY, (fd) =>
      readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }),
    );
    if (typeof names === "number") return [];
    return names.map(textOf).filter((name) => name !== undefined);
  }

  read(path: string, offset: number, size: number): Uint8Array {
    const data = new Uint8Array(size);
    if (size === 0) return data;
    const count = this.#withOpen(path, O_RDONLY, (fd) =>
      readFrom(fd, Number(ptr(data)), size, offset),
    );
    return data.subarray(0, Number(count));
  }

  write(path: string, offset: number, data: Uint8Array): void {
    this.#withOpen(path, O_WRONLY, (fd) => {
      for (let written = 0; written < data.length;) {
        const count = Number(checked(writeTo(fd, data.subarray(written), offset + written)));
        if (count === 0) throw new ProviderError("ENOSPC");
        written += count;
      }
    });
  }

  truncate(path: string, size: number): void {
    this.#withFile(path, (fd) => changeSize(fd, size));
  }

  create(path: string, mode: number): void {
    this.#withPlace(path, (place) => {
      const fd = openIn(place, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK, mode);
      if (fd < 0) return fd;
      const result = changeMode(fd, mode);
      closeDescriptor(fd);
      return result;
    });
  }

  makeDirectory(path: string, mode: number): void {
    this.#withPlace(path, (place) => {
      const made = makeDirectoryIn(place, mode);
      const fd = made < 0 ? made : openIn(place, O_PATH | O_DIRECTORY, 0);
      if (fd < 0) return fd;
      const result = changeMode(fd, mode);
      closeDescriptor(fd);
      return result;
    });
  }

  makeLink(path: string, target: string): void {
    this.#withPlace(path, (place) => makeLinkIn(bytesOf(target), place));
  }

  remove(path: string): void {
    const isDirectory = this.stat(path)?.type === "directory";
    this.#withPlace(path, (place) => removeIn(place, isDirectory));
  }

  rename(from: string, to: string): void {
    this.#withPlace(from, (source) =>
      this.#root.withPlace(bytesOf(to), (target) => renameIn(source, target, 0)),
    );
  }

  setMode(path: string, mode: number): void {
    this.#withFile(path, (fd) => changeMode(fd, mode));
  }

  setTime(path: string, mtimeMs: number): void {
    const seconds = Math.floor(mtimeMs / 1000);
    const nanoseconds = Math.floor((mtimeMs - seconds * 1000) * 1_000_000);
    this.#withFile(path, (fd) => changeTimes(fd, undefined, { seconds, nanoseconds }));
  }

  close(): void {
    this.#directory.close();
  }
}

/** Returns undefined for a name that does not exist, also below a file; throws any other errno. */
function missing(errno: number): undefined {
  const name = errnoName(-errno);
  if (name !== "ENOENT" && name !== "ENOTDIR" && name !== "ELOOP") throw new ProviderError(name);
  return undefined;
}
