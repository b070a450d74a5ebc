/**
 * Taking files and trees from a channel into a directory. What the peer sends is not trusted: every
 * name is one component, each directory is held open and entered without following links, and
 * nothing partial ever stands under a file's own name.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../errors.ts";
import { setFileTime, setLinkTime } from "../ffi/file-time.ts";
import {
  type BytesPath,
  bytesPath,
  descriptorPath,
  joinPath,
  showPath,
} from "../files/bytes-path.ts";
import { fileKind, kindInWords } from "../files/facts.ts";
import { prefixHash } from "../files/prefix-hash.ts";
import type { TransferFlags } from "../protocols/agent/channel-requests.ts";
import {
  decodeTreeRecord,
  encodeResumeOffer,
  type FileStatus,
  type TreeRecord,
} from "../protocols/agent/tree-records.ts";
import type { Channel } from "./channel.ts";
import { fileError, isFatal, type TransferProgress, TransferSummary } from "./transfer.ts";
import { hashRange, hashZeros } from "./tree-sender.ts";

const writeAsync = promisify(write);

/** Directories in directories, so that a peer cannot use up all descriptors. */
const MAX_DEPTH = 200;

/**
 * Writes are made at once, which is faster than the thread pool, as long as the page cache takes
 * them. After one that took longer than this, in milliseconds, the next ones go through the pool, so
 * that a slow disk holds up nobody else.
 */
const SLOW_WRITE_MS = 4;
const POOLED_WRITES = 64;

/** Behind a name, while its file is not complete; with the dot in front, NAME_MAX still holds. */
const PART_SUFFIX = ".vsockbox-part";
const PART_NAME_BYTES = 200;

/** Files that are being received by this process: two transfers of one would mix. */
const receiving = new Set<string>();

/** Options of {@link TreeReceiver}. */
export interface TreeReceiverOptions extends TransferFlags {
  /** The entries that the root directory may get; undefined: any. */
  expected?: Uint8Array | undefined;
  /** False: the root directory gets no directory. */
  recursive?: boolean | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** A directory that is being filled. */
interface OpenDirectory {
  /** For messages. */
  shown: BytesPath;
  /** For file calls: by descriptor where /proc is there, so that no link can be put in its place. */
  path: BytesPath;
  fd: number;
  /** Undefined for the root, which is not ours. */
  status: (FileStatus & { isNew: boolean }) | undefined;
}

/** Writes what comes over a channel below one directory. */
export class TreeReceiver {
  readonly summary = new TransferSummary();
  readonly #channel: Channel;
  readonly #options: TreeReceiverOptions;
  readonly #directories: OpenDirectory[] = [];
  #file: IncomingFile | undefined;
  /** Depth of directories that could not be entered: what is in them is passed over. */
  #lost = 0;
  #passOver = false;

  constructor(channel: Channel, options: TreeReceiverOptions) {
    this.#channel = channel;
    this.#options = options;
  }

  /**
   * Receives until the peer's end.
   *
   * @param root an existing directory.
   * @throws {VsockboxError} BAD_DATA, TRANSPORT, and IO where nothing more can be written (ENOSPC).
   * An unfinished file is removed then, but kept for a later `resume` where the connection broke.
   */
  async receive(root: BytesPath): Promise<void> {
    this.#directories.push(openDirectory(root, root, undefined));
    let keepPart = false;
    try {
      for (;;) {
        const item = await this.#next().catch((thrown: unknown) => {
          keepPart = this.#options.resume;
          throw thrown;
        });
        if (item === undefined) break;
        if (item.kind === "data") await this.#onData(item.bytes);
        else await this.#onRecord(decodeTreeRecord(item.value));
      }
      if (this.#file !== undefined || this.#directories.length > 1 || this.#lost > 0) {
        keepPart = this.#options.resume;
        throw bad("it ended in the middle");
      }
    } finally {
      this.#file?.abandon(keepPart);
      for (const { fd } of this.#directories) closeSync(fd);
    }
  }

  #next() {
    return this.#channel.next();
  }

  get #directory(): OpenDirectory {
    const innermost = this.#directories.at(-1);
    if (innermost === undefined) throw new Error("no directory is open");
    return innermost;
  }

  async #onData(bytes: Uint8Array): Promise<void> {
    if (this.#file !== undefined) {
      await this.#guard(this.#file.shown, () => this.#file?.write(bytes));
      this.#advance(bytes.length);
    } else if (!this.#passOver) throw bad("bytes came outside of a file");
  }

  #advance(bytes: number): void {
    this.summary.bytes += bytes;
    this.#options.onProgress?.(this.summary);
  }

  async #onRecord(record: TreeRecord): Promise<void> {
    const inFile = this.#file !== undefined || this.#passOver;
    const forFile = record.kind === "from" || record.kind === "hole" || record.kind === "end";
    if (inFile !== forFile) throw bad(`a ${record.kind} record has no place here`);
    if (this.#directories.length === 1 && "name" in record) this.#checkRoot(record);
    switch (record.kind) {
      case "directory":
        return this.#enter(record);
      case "leave":
        return this.#leave();
      case "file":
        return this.#beginFile(record);
      case "from":
        return this.#startAt(record.offset);
      case "hole":
        this.#advance(record.bytes);
        return this.#guard(this.#file?.shown, () =>
          this.#file?.hole(record.bytes, () => !this.#channel.isClosed),
        );
      case "end":
        return this.#endFile(record);
      case "link":
        return this.#makeLink(record);
      case "skipped":
        this.summary.note(record.error);
    }
  }

  #checkRoot({ kind, name }: TreeRecord & { name: Uint8Array }): void {
    const { expected, recursive } = this.#options;
    if (expected === undefined || kind === "skipped") return;
    if (Buffer.compare(expected, name) !== 0) throw bad(`${showPath(name)} was not asked for`);
    // A link that is named itself is followed by the sender.
    const isWanted = kind === "file" || (kind === "directory" && recursive !== false);
    if (!isWanted) throw bad(`a ${kind} was not asked for`);
  }

  /** Notes what goes wrong with one entry; throws what ends the transfer. */
  async #guard(shown: BytesPath | undefined, action: () => unknown): Promise<void> {
    try {
      await action();
    } catch (thrown) {
      const error = fileError("write", shown ?? bytesPath("?"), thrown);
      if (isFatal(error) || error.code === "BAD_DATA") throw error;
      this.summary.note(error.message);
      if (this.#file !== undefined) {
        this.#file.abandon(false);
        this.#file = undefined;
        this.#passOver = true;
      }
    }
  }

  async #enter(record: TreeRecord & { kind: "directory" }): Promise<void> {
    if (this.#lost > 0) {
      this.#lost++;
      return;
    }
    if (this.#directories.length > MAX_DEPTH) throw bad(`directories are nested ${MAX_DEPTH} deep`);
    const parent = this.#directory;
    const shown = joinPath(parent.shown, record.name);
    const before = this.#directories.length;
    await this.#guard(shown, () => {
      const path = joinPath(parent.path, record.name);
      const existing = lstatSync(path, { throwIfNoEntry: false });
      // A copy that is broken off leaves no directory behind that only its owner can enter.
      if (existing === undefined) {
        mkdirSync(path, this.#options.preserve ? 0o700 : (record.mode & 0o777) | 0o700);
      } else if (existing.isSymbolicLink()) throw occupied(shown, "it is a symbolic link");
      else if (!existing.isDirectory()) throw occupied(shown, "it is no directory");
      const status = { ...record, isNew: existing === undefined };
      this.#directories.push(openDirectory(shown, path, status));
      this.summary.directories++;
    });
    if (this.#directories.length === before) this.#lost = 1;
  }

  async #leave(): Promise<void> {
    if (this.#lost > 0) {
      this.#lost--;
      return;
    }
    if (this.#directories.length === 1) throw bad("more directories are left than were entered");
    const directory = this.#directories.pop();
    if (directory?.status === undefined) return;
    const { fd, status, shown } = directory;
    try {
      await this.#guard(shown, () => {
        if (this.#options.preserve) preserve(fd, status);
        else if (status.isNew) fchmodSync(fd, status.mode & 0o777 & ~process.umask());
      });
    } finally {
      closeSync(fd);
    }
  }

  async #beginFile(record: TreeRecord & { kind: "file" }): Promise<void> {
    const negotiates = this.#options.resume || this.#options.keep;
    if (this.#lost === 0) {
      const shown = joinPath(this.#directory.shown, record.name);
      await this.#guard(shown, () => {
        this.#file = new IncomingFile(this.#directory, record, this.#options);
      });
    }
    const file = this.#file;
    if (!negotiates) {
      this.#passOver = file === undefined;
      await this.#guard(file?.shown, () => file?.begin(0));
      return;
    }
    if (file === undefined || file.isThere()) {
      // A file that cannot be taken is not sent either.
      if (file !== undefined) {
        this.summary.files++;
        this.summary.reused += record.size ?? 0;
        this.#advance(record.size ?? 0);
      }
      file?.abandon(true);
      this.#file = undefined;
      this.#channel.control(encodeResumeOffer({ kind: "same" }));
      return;
    }
    const part = this.#options.resume ? await file.part() : { bytes: 0, hash: "" };
    this.#channel.control(encodeResumeOffer({ kind: "part", ...part }));
  }

  async #startAt(offset: number): Promise<void> {
    if (this.#file === undefined) return;
    if (offset > 0 && offset !== this.#file.partBytes) throw bad("it begins behind what is there");
    this.summary.reused += offset;
    this.#advance(offset);
    await this.#guard(this.#file.shown, () => this.#file?.begin(offset));
  }

  async #endFile(record: TreeRecord & { kind: "end" }): Promise<void> {
    const file = this.#file;
    this.#passOver = false;
    if (file === undefined) return;
    if (record.error !== undefined) {
      // The sender has noted it, too, but the receiving side may be the one that reports.
      file.abandon(false);
      this.#file = undefined;
      this.summary.note(`read ${showPath(file.shown)}: ${record.error}`);
      return;
    }
    await this.#guard(file.shown, () => {
      file.complete(record.sha256);
      this.#file = undefined;
      this.summary.files++;
    });
    this.#passOver = false;
  }

  async #makeLink(record: TreeRecord & { kind: "link" }): Promise<void> {
    if (this.#lost > 0) return;
    const { path, shown } = this.#directory;
    const link = joinPath(path, record.name);
    await this.#guard(joinPath(shown, record.name), () => {
      const existing = lstatSync(link, { throwIfNoEntry: false });
      if (existing?.isDirectory()) throw occupied(link, "it is a directory");
      if (existing !== undefined && this.#options.keep) return;
      if (existing !== undefined) unlinkSync(link);
      symlinkSync(bytesPath(record.target), link);
      if (this.#options.preserve) {
        setLinkTime(link, record);
        if (process.geteuid?.() === 0) lchownSync(link, record.uid, record.gid);
      }
      this.summary.links++;
    });
  }
}

/** A file that is being received: written beside its name, and renamed when it is complete. */
class IncomingFile {
  readonly shown: BytesPath;
  readonly #final: BytesPath;
  readonly #part: BytesPath;
  readonly #key: string;
  readonly #record: TreeRecord & { kind: "file" };
  readonly #options: TransferFlags;
  readonly #existing: Stats | undefined;
  #hash: Bun.CryptoHasher | undefined;
  #fd: number | undefined;
  #offset = 0;
  #endsInHole = false;
  #pooledWrites = 0;
  /** The complete file is there already, under its own name. */
  #isWhole = false;
  /** Bytes of an unfinished transfer that were offered to the sender. */
  partBytes = 0;

  constructor(
    directory: OpenDirectory,
    record: TreeRecord & { kind: "file" },
    options: TransferFlags,
  ) {
    this.shown = joinPath(directory.shown, record.name);
    this.#final = joinPath(directory.path, record.name);
    const head = record.name.subarray(0, PART_NAME_BYTES);
    const part = Buffer.concat([Buffer.from("."), head, Buffer.from(PART_SUFFIX)]);
    this.#part = joinPath(directory.path, part);
    this.#record = record;
    this.#options = options;
    this.#existing = lstatSync(this.#final, { throwIfNoEntry: false });
    const existing = this.#existing;
    if (existing !== undefined && !existing.isFile() && !existing.isSymbolicLink()) {
      throw occupied(this.shown, `it is a ${kindInWords(fileKind(existing))}`);
    }
    const { dev, ino } = fstatSync(directory.fd);
    this.#key = `${dev}:${ino}/${part.toString("latin1")}`;
    if (receiving.has(this.#key)) {
      throw occupied(this.shown, "another transfer is writing it at this moment");
    }
    receiving.add(this.#key);
    if (options.checksum) this.#hash = new Bun.CryptoHasher("sha256");
  }

  /** Whether the file is there already as far as the options care. */
  isThere(): boolean {
    const { resume, keep, checksum } = this.#options;
    if (this.#existing === undefined) return false;
    if (keep) return true;
    const { size, seconds, nanoseconds } = this.#record;
    const sameTime = Math.abs(this.#existing.mtimeMs - (seconds * 1000 + nanoseconds / 1e6)) < 1;
    return resume && !checksum && this.#existing.size === size && sameTime;
  }

  /** What an earlier transfer left: an unfinished file, or a complete one that may be the same. */
  async part(): Promise<{ bytes: number; hash: string }> {
    const { size } = this.#record;
    const fd = this.#openExisting();
    if (fd !== undefined && size !== undefined) {
      try {
        this.partBytes = size;
        this.#isWhole = true;
        return { bytes: size, hash: (await prefixHash(fd, size)) ?? "" };
      } finally {
        closeSync(fd);
      }
    }
    try {
      this.#fd = openSync(this.#part, constants.O_RDWR | constants.O_NOFOLLOW);
      const status = fstatSync(this.#fd);
      if (!status.isFile() || status.nlink !== 1) throw new Error("it is not ours");
      const bytes = Math.min(status.size, this.#record.size ?? 0);
      this.partBytes = bytes;
      return { bytes, hash: (await prefixHash(this.#fd, bytes)) ?? "" };
    } catch {
      this.#close();
      return { bytes: 0, hash: "" };
    }
  }

  /** The complete file of the right size, where there is one that may be read. */
  #openExisting(): number | undefined {
    if (!this.#existing?.isFile() || this.#existing.size !== this.#record.size) return undefined;
    try {
      return openSync(this.#final, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch {
      return undefined;
    }
  }

  /** Opens the file for what comes from `offset` on. */
  async begin(offset: number): Promise<void> {
    if (this.#isWhole && offset === this.partBytes) {
      this.#offset = offset;
      this.#fd = openSync(this.#final, constants.O_RDONLY | constants.O_NOFOLLOW);
      if (this.#hash !== undefined) await hashRange(this.#fd, offset, this.#hash);
      return;
    }
    this.#isWhole = false;
    if (offset > 0 && this.#fd !== undefined) {
      ftruncateSync(this.#fd, offset);
      if (this.#hash !== undefined) await hashRange(this.#fd, offset, this.#hash);
    } else {
      this.#close();
      this.#fd = this.#createPart();
    }
    this.#offset = offset;
  }

  #createPart(): number {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const create = () => openSync(this.#part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      return create();
    } catch (thrown) {
      if (reasonOf(thrown).errno !== "EEXIST") throw thrown;
      unlinkSync(this.#part);
      return create();
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    const fd = this.#descriptor();
    this.#assertRoom(bytes.length);
    this.#hash?.update(bytes);
    this.#endsInHole = false;
    for (let done = 0; done < bytes.length;) {
      const left = bytes.length - done;
      const written =
        this.#pooledWrites > 0
          ? (await writeAsync(fd, bytes, done, left, this.#offset)).bytesWritten
          : this.#writeNow(fd, bytes, done);
      if (this.#pooledWrites > 0) this.#pooledWrites--;
      done += written;
      this.#offset += written;
    }
  }

  #writeNow(fd: number, bytes: Uint8Array, from: number): number {
    const begin = performance.now();
    const written = writeSync(fd, bytes, from, bytes.length - from, this.#offset);
    if (performance.now() - begin > SLOW_WRITE_MS) this.#pooledWrites = POOLED_WRITES;
    return written;
  }

  async hole(bytes: number, isWanted: () => boolean): Promise<void> {
    this.#assertRoom(bytes);
    if (this.#hash !== undefined) await hashZeros(this.#hash, bytes, isWanted);
    this.#offset += bytes;
    this.#endsInHole = true;
  }

  #assertRoom(bytes: number): void {
    const { size } = this.#record;
    if (size !== undefined && this.#offset + bytes > size) {
      throw this.#refused(`more than its ${size} bytes came`);
    }
  }

  #descriptor(): number {
    if (this.#fd === undefined) throw bad("bytes came before the place where they begin");
    return this.#fd;
  }

  /** Gives the complete file its name. */
  complete(sha256: string | undefined): void {
    const fd = this.#descriptor();
    if (this.#endsInHole) ftruncateSync(fd, this.#offset);
    const { size } = this.#record;
    if (size !== undefined && this.#offset !== size) {
      throw this.#refused(`${this.#offset} of ${size} bytes came`);
    }
    if (this.#hash !== undefined && this.#hash.digest("hex") !== sha256) {
      throw this.#refused("the sha256 of what came differs from the sender's");
    }
    this.#applyStatus(fd);
    if (this.#isWhole) {
      this.#close();
      receiving.delete(this.#key);
      return;
    }
    const own = fstatSync(fd);
    const there = lstatSync(this.#part, { throwIfNoEntry: false });
    if (there?.ino !== own.ino || there.dev !== own.dev) {
      throw this.#refused("another transfer is writing it at this moment");
    }
    renameSync(this.#part, this.#final);
    this.#close();
    receiving.delete(this.#key);
  }

  #applyStatus(fd: number): void {
    if (this.#options.preserve) return preserve(fd, this.#record);
    const existing = this.#existing;
    if (existing?.isFile()) {
      fchmodSync(fd, existing.mode & 0o7777);
      if (process.geteuid?.() === 0) fchownSync(fd, existing.uid, existing.gid);
    } else {
      fchmodSync(fd, this.#record.mode & 0o777 & ~process.umask());
    }
  }

  #refused(message: string): VsockboxError {
    return new VsockboxError({
      code: "IO",
      operation: "write",
      address: showPath(this.shown),
      message,
    });
  }

  /** Gives the file up; nothing of it stays, unless it is kept for a later resume. */
  abandon(keep: boolean): void {
    const own = this.#fd === undefined ? undefined : fstatSync(this.#fd);
    this.#close();
    receiving.delete(this.#key);
    if (keep || own === undefined) return;
    const there = lstatSync(this.#part, { throwIfNoEntry: false });
    if (there !== undefined && there.ino === own.ino) unlinkSync(this.#part);
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function openDirectory(
  shown: BytesPath,
  path: BytesPath,
  status: OpenDirectory["status"],
): OpenDirectory {
  const follow = status === undefined ? 0 : constants.O_NOFOLLOW;
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | follow);
    return { shown, path: descriptorPath(fd) ?? path, fd, status };
  } catch (thrown) {
    throw fileError("open directory", shown, thrown);
  }
}

/** Owner first: changing it takes set-id bits away. */
function preserve(fd: number, status: FileStatus): void {
  if (process.geteuid?.() === 0) fchownSync(fd, status.uid, status.gid);
  fchmodSync(fd, status.mode);
  setFileTime(fd, status);
}

function occupied(path: BytesPath, message: string): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "write",
    address: showPath(path),
    message,
    hint: "nothing is overwritten by something of another kind, and no link is followed",
  });
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "receive files", message });
}
