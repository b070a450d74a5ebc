/**
 * Receives one file into a directory: written to a file without a name, checked, and linked at the end.
 */
import { closeSync, constants, fchmodSync, fsync, ftruncateSync, write, writeSync } from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { type InodeStatus, statDescriptor } from "../../ffi/directory-calls.ts";
import { type BytesPath, showPath } from "../../files/bytes-path.ts";
import type { DirectoryHandle } from "../../files/directory-handle.ts";
import { fileKind, kindInWords } from "../../files/facts.ts";
import { changeOwner, replacedMode } from "../../files/file-owner.ts";
import { PartFiles, PendingFile } from "../../files/pending-file.ts";
import { prefixHash } from "../../files/prefix-hash.ts";
import type { TransferFlags } from "../../protocols/agent/channel-requests.ts";
import type { TreeRecord } from "../../protocols/agent/tree-records.ts";
import { hashRange, hashZeros } from "./outgoing-file.ts";
import { preserveStatus } from "./file-attributes.ts";

const writeAsync = promisify(write);
const syncAsync = promisify(fsync);

/**
 * Writes are synchronous, which is faster than the thread pool, while the page cache absorbs them. After
 * one that took longer than this, in milliseconds, the next POOLED_WRITES use the thread pool, so that a
 * slow disk does not delay other sessions.
 */
const SLOW_WRITE_MS = 4;
const POOLED_WRITES = 64;

/** To read an existing file; O_NONBLOCK, since opening a FIFO would block. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** Keys of the files that this process is receiving with `exclusive`: a second transfer fails early. */
const receiving = new Set<string>();

/** Options of {@link IncomingFile}. */
export interface IncomingFileOptions extends TransferFlags {
  /** An existing file is not replaced. */
  exclusive?: boolean | undefined;
  /** The bytes are synchronised to the disk before the file gets its name. */
  sync?: boolean | undefined;
  /** Whether the sender may choose owners and set-ID bits, with `preserve`; false for a guest. */
  trustsOwner?: boolean | undefined;
}

/** Destination of a file. */
export interface IncomingPlace {
  directory: DirectoryHandle;
  /** The file's path, for messages. */
  shown: () => BytesPath;
  /** Whether this transfer has made the directory, so that only its own entries are in it. */
  isNew?: boolean;
  /** Unfinished files in the directory; undefined without `resume`. */
  parts?: PartFiles | undefined;
}

/** A file that is being received. */
export class IncomingFile {
  readonly #place: IncomingPlace;
  readonly #record: TreeRecord & { kind: "file" };
  readonly #options: IncomingFileOptions;
  readonly #existing: InodeStatus | undefined;
  #key: string | undefined;
  #hash: Bun.CryptoHasher | undefined;
  #pending: PendingFile | undefined;
  /** Descriptor of an existing complete file, which may have the same content. */
  #whole: number | undefined;
  #offset = 0;
  #endsInHole = false;
  #pooledWrites = 0;
  /** Bytes of an unfinished transfer that were offered to the sender. */
  partBytes = 0;
  #offersWhole = false;

  /** @throws {VsockboxError} CANNOT_CREATE if something of another kind has the name. */
  constructor(
    place: IncomingPlace,
    record: TreeRecord & { kind: "file" },
    options: IncomingFileOptions,
  ) {
    this.#place = place;
    this.#record = record;
    this.#options = options;
    // A name that a sender repeats in a directory that it has made is replaced without a look at it.
    const isFirst = place.isNew === true && !options.keep && !options.resume;
    this.#existing = isFirst ? undefined : place.directory.find(record.name);
    const kind = this.#existing === undefined ? "file" : fileKind(this.#existing);
    if (kind !== "file" && kind !== "link") {
      throw occupied(this.shown, `it is a ${kindInWords(kind)}`);
    }
    if (options.exclusive) this.#reserve();
    if (options.checksum) this.#hash = new Bun.CryptoHasher("sha256");
  }

  /** The file's path, for messages. */
  get shown(): BytesPath {
    return this.#place.shown();
  }

  /** Refuses a second `exclusive` transfer of the same file, which would fail after all of its bytes. */
  #reserve(): void {
    const { device, inode } = this.#place.directory.status();
    const key = `${device}:${inode}/${Buffer.from(this.#record.name).toString("latin1")}`;
    if (receiving.has(key)) {
      throw occupied(this.shown, "another transfer is writing it at this moment");
    }
    receiving.add(key);
    this.#key = key;
  }

  /** Whether the options accept the existing file, so that its bytes need not be sent. */
  isUpToDate(): boolean {
    const { resume, keep, checksum } = this.#options;
    if (this.#existing === undefined) return false;
    if (keep) return true;
    const { size, seconds, nanoseconds } = this.#record;
    const { modified } = this.#existing;
    const differenceMs =
      (modified.seconds - seconds) * 1000 + (modified.nanoseconds - nanoseconds) / 1e6;
    return resume && !checksum && this.#existing.size === size && Math.abs(differenceMs) < 1;
  }

  /** Returns the size and hash of an existing file or an unfinished one of an earlier transfer. */
  async part(): Promise<{ bytes: number; hash: string }> {
    const { size, name } = this.#record;
    const whole = this.#openExisting();
    if (whole !== undefined && size !== undefined) {
      try {
        this.partBytes = size;
        this.#offersWhole = true;
        return { bytes: size, hash: (await prefixHash(whole, size)) ?? "" };
      } finally {
        closeSync(whole);
      }
    }
    this.#pending = this.#place.parts?.open(this.#place.directory, name);
    if (this.#pending === undefined) return { bytes: 0, hash: "" };
    const { fd } = this.#pending;
    const bytes = Math.min(statDescriptor(fd).size, size ?? 0);
    this.partBytes = bytes;
    return { bytes, hash: (await prefixHash(fd, bytes)) ?? "" };
  }

  /** Opens an existing file of the same size; undefined if it does not exist or cannot be read. */
  #openExisting(): number | undefined {
    const existing = this.#existing;
    if (existing === undefined || fileKind(existing) !== "file") return undefined;
    if (existing.size !== this.#record.size) return undefined;
    try {
      return this.#place.directory.openFile(this.#record.name, READ_FLAGS);
    } catch {
      return undefined;
    }
  }

  /** Opens the file for the bytes from `offset` on. */
  async begin(offset: number): Promise<void> {
    const { directory } = this.#place;
    const { name } = this.#record;
    if (this.#offersWhole && offset === this.partBytes) {
      this.#offset = offset;
      this.#whole = directory.openFile(name, READ_FLAGS);
      if (this.#hash !== undefined) await hashRange(this.#whole, offset, this.#hash);
      return;
    }
    if (this.#options.exclusive && this.#existing !== undefined) throw fileExistsError(this.shown);
    if (this.#pending === undefined) {
      this.#pending = this.#options.resume
        ? PendingFile.createPart(directory, name)
        : PendingFile.create(directory, this.#initialMode);
    } else {
      ftruncateSync(this.#pending.fd, offset);
      if (this.#hash !== undefined) await hashRange(this.#pending.fd, offset, this.#hash);
    }
    this.#offset = offset;
  }

  /** The mode of a new file, less the umask; undefined if its status is applied when it is complete. */
  get #initialMode(): number | undefined {
    return this.#options.preserve || this.#replaced !== undefined
      ? undefined
      : this.#record.mode & 0o777;
  }

  /** The facts of a file whose content is replaced. */
  get #replaced(): InodeStatus | undefined {
    const existing = this.#existing;
    return existing !== undefined && fileKind(existing) === "file" ? existing : undefined;
  }

  /** Writes the next bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    const fd = this.#descriptor();
    this.#assertFits(bytes.length);
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

  /** Skips a hole; `isWanted` returning false ends the hashing of its zeros. */
  async hole(bytes: number, isWanted: () => boolean): Promise<void> {
    this.#descriptor();
    // A record of a few bytes may announce any number of zeros: only an announced size limits it.
    if (this.#record.size === undefined) throw bad("a hole in a file of unknown size");
    this.#assertFits(bytes);
    if (this.#hash !== undefined) await hashZeros(this.#hash, bytes, isWanted);
    this.#offset += bytes;
    this.#endsInHole = true;
  }

  #assertFits(bytes: number): void {
    const { size } = this.#record;
    if (size !== undefined && this.#offset + bytes > size) {
      throw this.#refused(`it has more than its ${size} bytes`);
    }
  }

  #descriptor(): number {
    const fd = this.#whole ?? this.#pending?.fd;
    if (fd === undefined) throw bad("bytes before the offset at which they begin");
    return fd;
  }

  /** Checks the complete file, applies its attributes and gives it its name. */
  async complete(sha256: string | undefined): Promise<void> {
    const fd = this.#descriptor();
    if (this.#endsInHole) ftruncateSync(fd, this.#offset);
    const { size } = this.#record;
    if (size !== undefined && this.#offset !== size) {
      throw this.#refused(`only ${this.#offset} of ${size} bytes were received`);
    }
    if (this.#hash !== undefined && this.#hash.digest("hex") !== sha256) {
      throw this.#refused("the sha256 of the received bytes differs from the sender's");
    }
    this.#applyStatus(fd);
    if (this.#pending !== undefined) {
      if (this.#options.sync) await syncAsync(fd);
      this.#giveName(this.#pending);
    }
    this.#close();
  }

  #giveName(pending: PendingFile): void {
    const { name } = this.#record;
    try {
      // Not by rename(2), which would replace a file that another program has created in the meantime.
      pending.giveName(name, this.#options.exclusive !== true, this.#existing !== undefined);
    } catch (thrown) {
      if (reasonOf(thrown).errno === "EEXIST") throw fileExistsError(this.shown);
      throw thrown;
    }
    pending.close();
    this.#pending = undefined;
    this.#place.parts?.removeAll(this.#place.directory, name);
  }

  #applyStatus(fd: number): void {
    const replaced = this.#replaced;
    if (this.#options.preserve) {
      const own = statDescriptor(fd);
      const owners = { now: own, kept: replaced ?? own };
      preserveStatus(fd, this.#record, owners, this.#options.trustsOwner !== false);
    } else if (this.#whole !== undefined) {
      // Its content is the same, and its attributes are kept.
    } else if (replaced !== undefined) {
      changeOwner(fd, replaced, statDescriptor(fd));
      fchmodSync(fd, replacedMode(replaced));
    } else if (this.#pending?.hasMode !== true) {
      fchmodSync(fd, this.#record.mode & 0o777 & ~process.umask());
    }
  }

  #refused(message: string): VsockboxError {
    const address = showPath(this.shown);
    return new VsockboxError({ code: "IO", operation: "write", address, message });
  }

  /** Abandons the file and removes it, unless it is kept for a later resume. */
  abandon(keep: boolean): void {
    this.#pending?.discard(keep);
    this.#pending = undefined;
    this.#close();
  }

  #close(): void {
    if (this.#whole !== undefined) closeSync(this.#whole);
    this.#whole = undefined;
    if (this.#key !== undefined) receiving.delete(this.#key);
    this.#key = undefined;
  }
}

/** Returns the error for an existing file that may not be replaced. */
export function fileExistsError(path: BytesPath): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "write",
    address: showPath(path),
    message: "it exists",
    errno: "EEXIST",
    hint: "--force replaces it",
  });
}

/** Returns the error for a name that belongs to a file of another kind. */
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
