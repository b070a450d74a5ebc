/**
 * Two trees of files as one: changes go to the upper one, and the lower one is never changed.
 *
 *   a name in the upper tree          hides that of the lower one; directories of both are merged
 *   .wh.NAME in the upper tree        NAME of the lower tree was removed
 *   .wh..wh..opq in a directory       nothing of the lower directory is shown
 *
 * These are the names of whiteouts in layers of the OCI image specification. Guests neither see nor make
 * names that begin with `.wh.`. A file of the lower tree is copied up before its first change. A directory
 * of the lower tree cannot be renamed: as with overlayfs the guest gets EXDEV, and mv(1) copies it.
 */
import { checkReplaced } from "./memory-files.ts";
import { directoryOf, nameOf, pathIn, ProviderError } from "./provider-error.ts";
import type { FilesProvider, ProvidedFile } from "./provided-files.ts";

/** The upper tree of an overlay has every method. */
export type WritableFiles = Required<Omit<FilesProvider, "close">> & Pick<FilesProvider, "close">;

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const WHITEOUT_MODE = 0o600;
/** Bytes that are copied up at a time. */
const COPY_BYTES = 1024 * 1024;

function whiteoutOf(path: string): string {
  return pathIn(directoryOf(path), `${WHITEOUT}${nameOf(path)}`);
}

function hasWhiteoutName(path: string): boolean {
  return path.split("/").some((name) => name.startsWith(WHITEOUT));
}

/** The directories above a path, the root first. */
function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let at = path; at !== "";) {
    at = directoryOf(at);
    parents.unshift(at);
  }
  return parents;
}

/** A lower tree under an upper one. */
export class OverlayFiles implements FilesProvider {
  readonly #lower: FilesProvider;
  readonly #upper: WritableFiles;
  /** Changes are made one after the other: a file must not be copied up twice. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(lower: FilesProvider, upper: WritableFiles) {
    this.#lower = lower;
    this.#upper = upper;
  }

  #inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(change);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #hasUpper(path: string): Promise<boolean> {
    return (await this.#upper.stat(path)) !== undefined;
  }

  /** The file of the lower tree, unless the upper one hides its path. */
  async #lowerStat(path: string): Promise<ProvidedFile | undefined> {
    for (const directory of parentsOf(path)) {
      const upper = await this.#upper.stat(directory);
      if (upper !== undefined && upper.type !== "directory") return undefined;
      if (directory !== "" && (await this.#hasUpper(whiteoutOf(directory)))) return undefined;
      if (upper !== undefined && (await this.#hasUpper(pathIn(directory, OPAQUE)))) {
        return undefined;
      }
    }
    if (path !== "" && (await this.#hasUpper(whiteoutOf(path)))) return undefined;
    return await this.#lower.stat(path);
  }

  async stat(path: string): Promise<ProvidedFile | undefined> {
    if (hasWhiteoutName(path)) return undefined;
    return (await this.#upper.stat(path)) ?? (await this.#lowerStat(path));
  }

  async list(path: string): Promise<readonly string[]> {
    const upper = await this.#upper.stat(path);
    const names = upper === undefined ? [] : await this.#upper.list(path);
    const shown = names.filter((name) => !name.startsWith(WHITEOUT));
    if (names.includes(OPAQUE)) return shown;
    const lower = await this.#lowerStat(path);
    if (lower?.type !== "directory" || this.#lower.list === undefined) return shown;
    const known = new Set(names);
    const isHidden = (name: string) =>
      name.startsWith(WHITEOUT) || known.has(name) || known.has(`${WHITEOUT}${name}`);
    return [...shown, ...(await this.#lower.list(path)).filter((name) => !isHidden(name))];
  }

  async read(path: string, offset: number, size: number): Promise<Uint8Array> {
    if (await this.#hasUpper(path)) return await this.#upper.read(path, offset, size);
    if (this.#lower.read === undefined) throw new ProviderError("ENOSYS");
    return await this.#lower.read(path, offset, size);
  }

  write(path: string, offset: number, data: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      await this.#copyUp(path);
      await this.#upper.write(path, offset, data);
    });
  }

  truncate(path: string, size: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#copyUp(path, size);
      await this.#upper.truncate(path, size);
    });
  }

  setMode(path: string, mode: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#copyUp(path);
      await this.#upper.setMode(path, mode);
    });
  }

  setTime(path: string, mtimeMs: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#copyUp(path);
      await this.#upper.setTime(path, mtimeMs);
    });
  }

  /** Copies a file of the lower tree, with the directories above it, unless the upper one has it. */
  async #copyUp(path: string, maxBytes = Infinity): Promise<void> {
    if (await this.#hasUpper(path)) return;
    const file = await this.#lowerStat(path);
    if (file === undefined) throw new ProviderError("ENOENT");
    if (path === "") throw new ProviderError("EROFS");
    await this.#copyUp(directoryOf(path));
    if (file.type === "link") await this.#upper.makeLink(path, file.target ?? "");
    else if (file.type === "directory") await this.#upper.makeDirectory(path, file.mode ?? 0o755);
    else await this.#copyFile(path, file, maxBytes);
    if (file.type !== "link") await this.#upper.setTime(path, file.mtimeMs ?? 0);
  }

  /** A copy that fails must not stand for the whole file. */
  async #copyFile(path: string, { mode = 0o644, size = 0 }: ProvidedFile, maxBytes: number) {
    await this.#upper.create(path, mode);
    try {
      const end = Math.min(size, maxBytes);
      for (let offset = 0; offset < end;) {
        const data = await this.#lower.read?.(path, offset, Math.min(COPY_BYTES, end - offset));
        if (data === undefined || data.length === 0) break;
        await this.#upper.write(path, offset, data);
        offset += data.length;
      }
    } catch (thrown) {
      await this.#upper.remove(path);
      throw thrown;
    }
  }

  /** Makes a name: in a directory of the upper tree, and without a whiteout. */
  #make(path: string, make: () => Promise<void> | void, isDirectory = false): Promise<void> {
    return this.#inTurn(async () => {
      if (hasWhiteoutName(path)) throw new ProviderError("EACCES");
      if ((await this.stat(path)) !== undefined) throw new ProviderError("EEXIST");
      await this.#copyUp(directoryOf(path));
      await make();
      if (!(await this.#hasUpper(whiteoutOf(path)))) return;
      if (isDirectory) await this.#hideLower(path);
      await this.#upper.remove(whiteoutOf(path));
    });
  }

  async #hideLower(directory: string): Promise<void> {
    if (await this.#hasUpper(pathIn(directory, OPAQUE))) return;
    await this.#upper.create(pathIn(directory, OPAQUE), WHITEOUT_MODE);
  }

  create(path: string, mode: number): Promise<void> {
    return this.#make(path, () => this.#upper.create(path, mode));
  }

  makeDirectory(path: string, mode: number): Promise<void> {
    return this.#make(path, () => this.#upper.makeDirectory(path, mode), true);
  }

  makeLink(path: string, target: string): Promise<void> {
    return this.#make(path, () => this.#upper.makeLink(path, target));
  }

  remove(path: string): Promise<void> {
    return this.#inTurn(() => this.#remove(path));
  }

  async #remove(path: string): Promise<void> {
    if (path === "") throw new ProviderError("EBUSY");
    const file = await this.stat(path);
    if (file === undefined) throw new ProviderError("ENOENT");
    const isFull = file.type === "directory" && (await this.list(path)).length > 0;
    if (isFull) throw new ProviderError("ENOTEMPTY");
    // The whiteout first: without it the file of the lower tree would be seen for a moment.
    const isBelow = (await this.#lowerStat(path)) !== undefined;
    if (isBelow) await this.#whiteOut(path);
    if (await this.#hasUpper(path)) await this.#removeUpper(path, file.type);
  }

  async #whiteOut(path: string): Promise<void> {
    await this.#copyUp(directoryOf(path));
    if (await this.#hasUpper(whiteoutOf(path))) return;
    await this.#upper.create(whiteoutOf(path), WHITEOUT_MODE);
  }

  /** Removes a file, or a directory that has whiteouts alone. */
  async #removeUpper(path: string, type: ProvidedFile["type"]): Promise<void> {
    const names = type === "directory" ? await this.#upper.list(path) : [];
    for (const name of names) await this.#upper.remove(pathIn(path, name));
    await this.#upper.remove(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#inTurn(() => this.#rename(from, to));
  }

  async #rename(from: string, to: string): Promise<void> {
    if (hasWhiteoutName(to)) throw new ProviderError("EACCES");
    if (from === "" || to === "") throw new ProviderError("EBUSY");
    const file = await this.stat(from);
    if (file === undefined) throw new ProviderError("ENOENT");
    if (from === to) return;
    const isDirectory = file.type === "directory";
    const isBelow = (await this.#lowerStat(from)) !== undefined;
    if (isDirectory && isBelow) throw new ProviderError("EXDEV");
    if (to.startsWith(`${from}/`)) throw new ProviderError("EINVAL");
    const replaced = await this.stat(to);
    if (replaced !== undefined) checkReplaced(file.type, replaced.type);
    await this.#copyUp(from);
    await this.#copyUp(directoryOf(to));
    if (replaced !== undefined && isDirectory) await this.#remove(to);
    const isHidden = await this.#hasUpper(whiteoutOf(to));
    if (isDirectory && isHidden) await this.#hideLower(from);
    await this.#upper.rename(from, to);
    if (isBelow) await this.#whiteOut(from);
    if (isHidden) await this.#upper.remove(whiteoutOf(to));
  }

  close(): void {
    this.#lower.close?.();
    this.#upper.close?.();
  }
}
