/**
 * Taking files and trees from a channel into a directory. What the peer sends is not trusted: every
 * name is one component, each directory is held open and entered without following links, and
 * nothing partial ever stands under a file's own name.
 */
import {
  closeSync,
  fchmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { VsockboxError } from "../errors.ts";
import { setLinkTime } from "../ffi/file-time.ts";
import { type BytesPath, bytesPath, joinPath, showPath } from "../files/bytes-path.ts";
import {
  decodeTreeRecord,
  encodeResumeOffer,
  type TreeRecord,
} from "../protocols/agent/tree-records.ts";
import type { Channel } from "./channel.ts";
import {
  alreadyThere,
  IncomingFile,
  type IncomingFileOptions,
  occupied,
  type OpenDirectory,
  openDirectory,
  preserve,
} from "./incoming-file.ts";
import { RequestedRoot } from "./requested-root.ts";
import { fileError, isFatal, type TransferProgress, TransferSummary } from "./transfer.ts";

/** Directories in directories, so that a peer cannot use up all descriptors. */
const MAX_DEPTH = 200;

/** Options of {@link TreeReceiver}. */
export interface TreeReceiverOptions extends IncomingFileOptions {
  /** The entries that the root directory may get; undefined: any. */
  expected?: Uint8Array | undefined;
  /** False: the root directory gets no directory. */
  recursive?: boolean | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** Writes what comes over a channel below one directory. */
export class TreeReceiver {
  readonly summary = new TransferSummary();
  readonly #channel: Channel;
  readonly #options: TreeReceiverOptions;
  readonly #directories: OpenDirectory[] = [];
  /** What the sender may put at depth 0; undefined: anything. */
  readonly #root: RequestedRoot | undefined;
  #file: IncomingFile | undefined;
  /** Depth of directories that could not be entered: what is in them is passed over. */
  #lost = 0;
  #passOver = false;

  constructor(channel: Channel, options: TreeReceiverOptions) {
    this.#channel = channel;
    this.#options = options;
    const { expected: name, recursive = true } = options;
    if (name !== undefined) this.#root = new RequestedRoot({ name, recursive });
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
    if (this.#directories.length === 1 && "name" in record) this.#root?.checkTop(record);
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
          this.#file?.hole(record.bytes, () => !this.#channel.isAbandoned),
        );
      case "end":
        return this.#endFile(record);
      case "link":
        return this.#makeLink(record);
      case "skipped":
        this.summary.note(record.error);
    }
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
    await this.#guard(file.shown, async () => {
      await file.complete(record.sha256);
      this.#file = undefined;
      this.summary.files++;
    });
    this.#passOver = false;
  }

  async #makeLink(record: TreeRecord & { kind: "link" }): Promise<void> {
    if (this.#lost > 0) return;
    const link = joinPath(this.#directory.path, record.name);
    const shown = joinPath(this.#directory.shown, record.name);
    await this.#guard(shown, () => {
      const existing = lstatSync(link, { throwIfNoEntry: false });
      if (existing?.isDirectory()) throw occupied(shown, "it is a directory");
      if (existing !== undefined && this.#options.keep) return;
      if (existing !== undefined && this.#options.exclusive) throw alreadyThere(shown);
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

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "receive files", message });
}
