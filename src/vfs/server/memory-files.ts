/** A tree of files in memory, for exports of a program. */
import { directoryOf, nameOf, ProviderError } from "./provider-error.ts";
import type { FilesProvider, ProvidedFile } from "./provided-files.ts";

/** Limits of {@link MemoryFiles}; a guest gets ENOSPC for more. */
export interface MemoryLimits {
  /** Bytes of all files (default: 256 MiB). */
  readonly maxBytes?: number | undefined;
  /** Files, directories and links (default: 100,000). */
  readonly maxFiles?: number | undefined;
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;
const DEFAULT_MAX_FILES = 100_000;

interface MemoryFile extends ProvidedFile {
  type: "file";
  /** The bytes, and unused capacity after them. */
  buffer: Uint8Array;
  size: number;
}

interface MemoryDirectory extends ProvidedFile {
  type: "directory";
  children: Map<string, Entry>;
}

interface MemoryLink extends ProvidedFile {
  type: "link";
}

type Entry = MemoryFile | MemoryDirectory | MemoryLink;

const EMPTY = new Uint8Array(0);

function newDirectory(mode?: number): MemoryDirectory {
  return { type: "directory", mode, mtimeMs: Date.now(), children: new Map() };
}

/** Files in memory. */
export class MemoryFiles implements FilesProvider {
  readonly #root = newDirectory();
  readonly #maxBytes: number;
  readonly #maxFiles: number;
  #bytes = 0;
  #files = 0;

  /** @param files the first files by their paths, whose directories are made; not copied. */
  constructor(
    files: Readonly<Record<string, string | Uint8Array>> = {},
    limits: MemoryLimits = {},
  ) {
    this.#maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#maxFiles = limits.maxFiles ?? DEFAULT_MAX_FILES;
    for (const [path, content] of Object.entries(files)) this.#put(path, Buffer.from(content));
  }

  #put(path: string, content: Uint8Array): void {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const directory = parts.slice(0, depth).join("/");
      if (this.#find(directory) === undefined) this.makeDirectory(directory, 0o755);
    }
    this.create(path, 0o644);
    this.write(path, 0, content);
  }

  #find(path: string): Entry | undefined {
    let entry: Entry | undefined = this.#root;
    if (path === "") return entry;
    for (const name of path.split("/")) {
      if (entry?.type !== "directory") return undefined;
      entry = entry.children.get(name);
    }
    return entry;
  }

  #at(path: string): Entry {
    const entry = this.#find(path);
    if (entry === undefined) throw new ProviderError("ENOENT");
    return entry;
  }

  #file(path: string): MemoryFile {
    const entry = this.#at(path);
    if (entry.type === "file") return entry;
    throw new ProviderError(entry.type === "directory" ? "EISDIR" : "EINVAL");
  }

  #directory(path: string): MemoryDirectory {
    const entry = this.#at(path);
    if (entry.type !== "directory") throw new ProviderError("ENOTDIR");
    return entry;
  }

  #add(path: string, entry: Entry): void {
    const directory = this.#directory(directoryOf(path));
    const name = nameOf(path);
    if (path === "" || directory.children.has(name)) throw new ProviderError("EEXIST");
    if (this.#files >= this.#maxFiles) throw new ProviderError("ENOSPC");
    this.#files++;
    directory.children.set(name, entry);
    directory.mtimeMs = Date.now();
  }

  #drop(path: string): Entry {
    const entry = this.#at(path);
    const directory = this.#directory(directoryOf(path));
    directory.children.delete(nameOf(path));
    directory.mtimeMs = Date.now();
    return entry;
  }

  stat(path: string): ProvidedFile | undefined {
    const entry = this.#find(path);
    if (entry === undefined) return undefined;
    const { type, mode, mtimeMs, target, size } = entry;
    return { type, mode, mtimeMs, target, size };
  }

  list(path: string): readonly string[] {
    return [...this.#directory(path).children.keys()];
  }

  read(path: string, offset: number, size: number): Uint8Array {
    const file = this.#file(path);
    return file.buffer.subarray(Math.min(offset, file.size), Math.min(offset + size, file.size));
  }

  write(path: string, offset: number, data: Uint8Array): void {
    const file = this.#file(path);
    if (data.length === 0) return;
    this.#resize(file, Math.max(file.size, offset + data.length));
    file.buffer.set(data, offset);
    file.mtimeMs = Date.now();
  }

  truncate(path: string, size: number): void {
    const file = this.#file(path);
    this.#resize(file, size);
    file.mtimeMs = Date.now();
  }

  /** Grows by half at least, so that appending does not copy all bytes each time. */
  #resize(file: MemoryFile, size: number): void {
    if (this.#bytes + size - file.size > this.#maxBytes) throw new ProviderError("ENOSPC");
    this.#bytes += size - file.size;
    if (size > file.buffer.length || size < file.buffer.length / 4) {
      const kept = file.buffer.subarray(0, Math.min(file.size, size));
      const isAppended = size > file.size && file.size > 0;
      file.buffer = new Uint8Array(isAppended ? Math.ceil(size * 1.5) : size);
      file.buffer.set(kept);
    } else if (size < file.size) file.buffer.fill(0, size, file.size);
    file.size = size;
  }

  create(path: string, mode: number): void {
    this.#add(path, { type: "file", mode, mtimeMs: Date.now(), buffer: EMPTY, size: 0 });
  }

  makeDirectory(path: string, mode: number): void {
    this.#add(path, newDirectory(mode));
  }

  makeLink(path: string, target: string): void {
    this.#add(path, { type: "link", target, mtimeMs: Date.now() });
  }

  remove(path: string): void {
    const entry = this.#at(path);
    if (entry === this.#root) throw new ProviderError("EBUSY");
    if (entry.type === "directory" && entry.children.size > 0) throw new ProviderError("ENOTEMPTY");
    this.#drop(path);
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    this.#files--;
    if (entry.type === "file") this.#bytes -= entry.size;
  }

  rename(from: string, to: string): void {
    const entry = this.#at(from);
    const replaced = this.#find(to);
    if (entry === this.#root || replaced === this.#root) throw new ProviderError("EBUSY");
    if (replaced === entry) return;
    if (`${to}/`.startsWith(`${from}/`)) throw new ProviderError("EINVAL");
    this.#directory(directoryOf(to));
    if (replaced !== undefined) {
      checkReplaced(entry.type, replaced.type);
      this.remove(to);
    }
    this.#drop(from);
    // It is counted already.
    this.#files--;
    this.#add(to, entry);
  }

  setMode(path: string, mode: number): void {
    this.#at(path).mode = mode;
  }

  setTime(path: string, mtimeMs: number): void {
    this.#at(path).mtimeMs = mtimeMs;
  }
}

/**
 * Checks that a rename may replace what stands at its new name.
 *
 * @throws {ProviderError} EISDIR or ENOTDIR, as rename(2).
 */
export function checkReplaced(type: ProvidedFile["type"], replaced: ProvidedFile["type"]): void {
  if (replaced === "directory" && type !== "directory") throw new ProviderError("EISDIR");
  if (replaced !== "directory" && type === "directory") throw new ProviderError("ENOTDIR");
}
