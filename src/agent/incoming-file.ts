/**
 * One file on its way into a directory: written beside its name, and given it when it is complete.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  type Stats,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../errors.ts";
import { setFileTime } from "../ffi/file-time.ts";
import { type BytesPath, descriptorPath, joinPath, showPath } from "../files/bytes-path.ts";
import { fileKind, kindInWords } from "../files/facts.ts";
import { prefixHash } from "../files/prefix-hash.ts";
import type { TransferFlags } from "../protocols/agent/channel-requests.ts";
import type { FileStatus, TreeRecord } from "../protocols/agent/tree-records.ts";
import { fileError } from "./transfer.ts";
import { hashRange, hashZeros } from "./tree-sender.ts";

const writeAsync = promisify(write);
const syncAsync = promisify(fsync);

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

/** How a file is taken. */
export interface IncomingFileOptions extends TransferFlags {
  /** Nothing that stood there is replaced. */
  exclusive?: boolean | undefined;
  /** The bytes are on the disk before the file gets its name. */
  sync?: boolean | undefined;
}

/** A directory that is being filled. */
export interface OpenDirectory {
  /** For messages. */
  shown: BytesPath;
  /** For file calls: by descriptor where /proc is there, so that no link can be put in its place. */
  path: BytesPath;
  fd: number;
  /** Undefined for the root, which is not ours. */
  status: (FileStatus & { isNew: boolean }) | undefined;
}

/** A file that is being received. */
export class IncomingFile {
  readonly shown: BytesPath;
  readonly #final: BytesPath;
  readonly #part: BytesPath;
  readonly #key: string;
  readonly #record: TreeRecord & { kind: "file" };
  readonly #options: IncomingFileOptions;
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
    options: IncomingFileOptions,
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
    if (this.#options.exclusive && this.#existing !== undefined) throw alreadyThere(this.shown);
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
  async complete(sha256: string | undefined): Promise<void> {
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
    if (this.#options.sync) await syncAsync(fd);
    this.#giveName();
    this.#close();
    receiving.delete(this.#key);
  }

  #giveName(): void {
    if (!this.#options.exclusive) return renameSync(this.#part, this.#final);
    try {
      // A rename would replace what somebody has put there in the meantime.
      linkSync(this.#part, this.#final);
    } catch (thrown) {
      const { errno } = reasonOf(thrown);
      if (errno === "EEXIST") throw alreadyThere(this.shown);
      // Not every file system has hard links.
      if (errno !== "EPERM" && errno !== "EOPNOTSUPP") throw thrown;
      if (lstatSync(this.#final, { throwIfNoEntry: false }) !== undefined) {
        throw alreadyThere(this.shown);
      }
      return renameSync(this.#part, this.#final);
    }
    unlinkSync(this.#part);
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

/** Opens a directory to be filled; the caller closes its descriptor. */
export function openDirectory(
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
export function preserve(fd: number, status: FileStatus): void {
  if (process.geteuid?.() === 0) fchownSync(fd, status.uid, status.gid);
  fchmodSync(fd, status.mode);
  setFileTime(fd, status);
}

/** The error for a place that is taken already. */
export function alreadyThere(path: BytesPath): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "write",
    address: showPath(path),
    message: "it exists",
    errno: "EEXIST",
    hint: "--force replaces it",
  });
}

/** The error for a place that is taken by something else. */
export function occupied(path: BytesPath, message: string): VsockboxError {
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
