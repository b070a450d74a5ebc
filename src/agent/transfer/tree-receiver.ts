/**
 * Receives files and trees from a channel into a directory; `tree-sender.ts` describes the records.
 *
 * Trust: the peer may send anything. Every name is one component; directories are held open and entered
 * by descriptor without following links, so that nothing is created outside of the root; with `expected`
 * the root directory gets only the requested entry, and with `maxBytes` only so many bytes. Owners and
 * set-ID bits are the sender's choice only with `trustsOwner`.
 *
 * Completeness: a file is written without a name (`incoming-file.ts`) and gets it after its size and
 * checksum are correct, so that its name never shows a part of it. With `resume` an unfinished file is
 * kept under a hidden name if the connection breaks, and offered to the sender of the next transfer.
 *
 * Errors: a failure of one entry (`#guard`) is noted in the summary, and the records of that entry are
 * skipped: `#skipsFile` until the `end` of a file, `#skippedDepth` until the `leave` of a directory.
 * Errors that every following file would have, too (ENOSPC), protocol errors and a broken channel end
 * the transfer.
 */
import { fchmodSync } from "node:fs";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { statDescriptor } from "../../ffi/directory-calls.ts";
import { type BytesPath, bytesPath, showPath } from "../../files/bytes-path.ts";
import type { DirectoryHandle } from "../../files/directory-handle.ts";
import { DirectoryStack } from "../../files/directory-stack.ts";
import { fileKind } from "../../files/facts.ts";
import { PartFiles, temporaryName } from "../../files/pending-file.ts";
import {
  decodeTreeRecord,
  encodeResumeOffer,
  type FileStatus,
  type TreeRecord,
} from "../../protocols/agent/tree-records.ts";
import type { Channel } from "../channel/channel.ts";
import {
  fileExistsError,
  IncomingFile,
  type IncomingFileOptions,
  occupied,
} from "./incoming-file.ts";
import { preserveStatus } from "./file-attributes.ts";
import { RequestedRoot } from "./requested-root.ts";
import { ReceivedBytes } from "./receive-limit.ts";
import {
  FILE_STREAM,
  fileError,
  isFatal,
  type TransferProgress,
  TransferSummary,
} from "./transfer.ts";
import { withArticle } from "../../text/article.ts";

/** Options of {@link TreeReceiver}. */
export interface TreeReceiverOptions extends IncomingFileOptions {
  /** The only entry that the root directory may get; undefined: any. */
  expected?: Uint8Array | undefined;
  /** False: the root directory may not get a directory. */
  recursive?: boolean | undefined;
  /** Limit of all received bytes, holes included; undefined: none. */
  maxBytes?: number | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Called for each record after it was obeyed; not for the rest of a file that could not be written. */
  onRecord?: ((record: TreeRecord) => void) | undefined;
}

/** State of a directory that is being received. */
interface ReceivedDirectory {
  /** Undefined for the root, whose attributes are not changed. */
  status: (FileStatus & { isNew: boolean }) | undefined;
  parts: PartFiles | undefined;
}

/** Writes the entries of a transfer below one directory. */
export class TreeReceiver {
  readonly summary = new TransferSummary();
  readonly #channel: Channel;
  readonly #options: TreeReceiverOptions;
  readonly #limit: ReceivedBytes;
  /** Checks the entries at depth 0; undefined: any are accepted. */
  readonly #root: RequestedRoot | undefined;
  #file: IncomingFile | undefined;
  /** Byte counts of the summary before the current file. */
  #before = { bytes: 0, reused: 0 };
  /** Depth below a directory that could not be entered: its records are skipped. */
  #skippedDepth = 0;
  #skipsFile = false;
  /** The name of the last file. */
  #fileName: Uint8Array = NO_NAME;
  /** A file that the sender could not read to its end, until its `skipped` record. */
  #unread: { name: Uint8Array; text: string } | undefined;
  #directories: DirectoryStack<ReceivedDirectory> | undefined;

  constructor(channel: Channel, options: TreeReceiverOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#limit = new ReceivedBytes(options.maxBytes);
    const { expected: name, recursive = true } = options;
    if (name !== undefined) this.#root = new RequestedRoot({ name, recursive });
  }

  /**
   * Receives until the peer's end.
   *
   * @param root an existing directory, which the receiver closes unless it was borrowed.
   * @param shown its path, for messages.
   * @throws {VsockboxError} BAD_DATA, TRANSPORT, and IO if nothing more can be written (ENOSPC), or
   * more than `maxBytes` would come (EFBIG). An unfinished file is removed then, but kept for a later
   * `resume` if the connection broke.
   */
  async receive(root: DirectoryHandle, shown: BytesPath): Promise<void> {
    using directories = new DirectoryStack<ReceivedDirectory>(
      root,
      shown,
      this.#newDirectory(undefined),
    );
    this.#directories = directories;
    let keepPart = false;
    try {
      for (;;) {
        const item = await this.#channel.next().catch((thrown: unknown) => {
          keepPart = this.#options.resume;
          throw thrown;
        });
        if (item === undefined) break;
        if (item.kind === "data") {
          if (item.stream !== FILE_STREAM) throw bad(`unexpected bytes on stream ${item.stream}`);
          await this.#onData(item.bytes);
        } else {
          const record = decodeTreeRecord(item.value);
          const isSkipped = this.#skipsFile;
          await this.#onRecord(record);
          if (!isSkipped) this.#options.onRecord?.(record);
        }
      }
      this.#noteUnread(undefined);
      if (this.#file !== undefined || directories.depth > 0 || this.#skippedDepth > 0) {
        keepPart = this.#options.resume;
        throw bad("it ended too early");
      }
    } finally {
      this.#file?.abandon(keepPart);
    }
  }

  #newDirectory(status: ReceivedDirectory["status"]): ReceivedDirectory {
    return { status, parts: this.#options.resume ? new PartFiles() : undefined };
  }

  get #stack(): DirectoryStack<ReceivedDirectory> {
    if (this.#directories === undefined) throw new Error("nothing is being received");
    return this.#directories;
  }

  async #onData(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file !== undefined) {
      this.#limit.add(bytes.length);
      this.#advance(bytes.length);
      await this.#guard(
        () => file.shown,
        () => file.write(bytes),
      );
    } else if (!this.#skipsFile) throw bad("bytes outside of a file");
  }

  #advance(bytes: number): void {
    this.summary.bytes += bytes;
    this.#options.onProgress?.(this.summary);
  }

  async #onRecord(record: TreeRecord): Promise<void> {
    const inFile = this.#file !== undefined || this.#skipsFile;
    const forFile = record.kind === "from" || record.kind === "hole" || record.kind === "end";
    if (inFile !== forFile) throw bad(`${withArticle(record.kind)} record is not allowed here`);
    if (this.#stack.depth + this.#skippedDepth === 0 && "name" in record)
      this.#root?.checkTop(record);
    this.#noteUnread(record);
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
        return this.#onHole(record.bytes);
      case "end":
        return this.#endFile(record);
      case "link":
        return this.#makeLink(record);
      case "skipped":
        return this.summary.noteReported(record.error);
      default:
        record satisfies never;
    }
  }

  /**
   * Notes a file that the sender could not read to its end. In a tree a `skipped` record with the sender's
   * own text follows, which stands for it.
   */
  #noteUnread(next: TreeRecord | undefined): void {
    const unread = this.#unread;
    if (unread === undefined) return;
    this.#unread = undefined;
    const isRepeated = next?.kind === "skipped" && Buffer.compare(next.name, unread.name) === 0;
    if (!isRepeated) this.summary.noteReported(unread.text);
  }

  /** Notes the failure of one entry; throws an error that ends the transfer. */
  async #guard(shown: () => BytesPath, action: () => unknown): Promise<void> {
    try {
      await action();
    } catch (thrown) {
      const error = fileError("write", shown(), thrown);
      if (isFatal(error) || error.code === "BAD_DATA") throw error;
      this.summary.note(error);
      if (this.#file !== undefined) {
        this.#abandonFile(this.#file);
        this.#skipsFile = true;
      }
    }
  }

  /** Abandons a file; only bytes of complete files are counted. */
  #abandonFile(file: IncomingFile): void {
    file.abandon(false);
    this.#file = undefined;
    Object.assign(this.summary, this.#before);
  }

  async #enter(record: TreeRecord & { kind: "directory" }): Promise<void> {
    if (this.#skippedDepth > 0) {
      this.#skippedDepth++;
      return;
    }
    const stack = this.#stack;
    const { depth } = stack;
    const shown = () => stack.shown(record.name);
    await this.#guard(shown, () => {
      // Accessible to others from the start, in case the transfer ends before the mode is applied.
      const mode = this.#options.preserve ? 0o700 : (record.mode & 0o777) | 0o700;
      const isNew = isMade(() => stack.top.makeDirectory(record.name, mode));
      const existing = isNew ? undefined : stack.top.find(record.name);
      const kind = existing === undefined ? "directory" : fileKind(existing);
      if (kind === "link") throw occupied(shown(), "it is a symbolic link");
      if (kind !== "directory") throw occupied(shown(), "it is not a directory");
      const handle = stack.top.openDirectory(record.name);
      const status = { ...record, isNew };
      stack.enter(handle, record.name, this.#newDirectory(status));
      this.summary.directories++;
    });
    if (stack.depth === depth) this.#skippedDepth = 1;
  }

  async #leave(): Promise<void> {
    if (this.#skippedDepth > 0) {
      this.#skippedDepth--;
      return;
    }
    const stack = this.#stack;
    const { depth } = stack;
    if (depth === 0) throw bad("more directories are left than were entered");
    const shown = stack.shown();
    await this.#guard(
      () => shown,
      () => stack.leave(({ fd }, { state }) => this.#applyStatus(fd, state.status)),
    );
    // The directories above that could not be entered again are skipped.
    this.#skippedDepth = depth - 1 - stack.depth;
  }

  #applyStatus(fd: number, status: ReceivedDirectory["status"]): void {
    if (status === undefined) return;
    if (this.#options.preserve) {
      const own = statDescriptor(fd);
      preserveStatus(fd, status, { now: own, kept: own }, this.#options.trustsOwner !== false);
    } else if (status.isNew && (status.mode & OWNER_BITS) !== OWNER_BITS) {
      // It was made with more rights than it keeps. A directory inherits the set-group-ID bit.
      const inherited = statDescriptor(fd).mode & S_ISGID;
      fchmodSync(fd, (status.mode & 0o777 & ~process.umask()) | inherited);
    }
  }

  async #beginFile(record: TreeRecord & { kind: "file" }): Promise<void> {
    const negotiates = this.#options.resume || this.#options.keep;
    const { bytes, reused } = this.summary;
    this.#before = { bytes, reused };
    this.#fileName = record.name;
    if (this.#skippedDepth === 0) {
      this.#limit.expect(record.size ?? 0);
      const stack = this.#stack;
      const shown = () => stack.shown(record.name);
      await this.#guard(shown, () => {
        const { status, parts } = stack.state;
        const place = { directory: stack.top, shown, parts, isNew: status?.isNew === true };
        this.#file = new IncomingFile(place, record, this.#options);
      });
    }
    const file = this.#file;
    if (!negotiates) {
      this.#skipsFile = file === undefined;
      if (file !== undefined) {
        await this.#guard(
          () => file.shown,
          () => file.begin(0),
        );
      }
      return;
    }
    if (file === undefined || file.isUpToDate()) {
      // `same` also makes the sender skip a file that cannot be received.
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
    const file = this.#file;
    if (file === undefined) return;
    if (offset > 0 && offset !== file.partBytes)
      throw bad("it begins after the end of the existing file");
    this.summary.reused += offset;
    this.#advance(offset);
    await this.#guard(
      () => file.shown,
      () => file.begin(offset),
    );
  }

  async #onHole(bytes: number): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#limit.add(bytes);
    this.#advance(bytes);
    await this.#guard(
      () => file.shown,
      () => file.hole(bytes, () => !this.#channel.isAbandoned),
    );
  }

  async #endFile(record: TreeRecord & { kind: "end" }): Promise<void> {
    const file = this.#file;
    this.#skipsFile = false;
    if (file === undefined) return;
    if (record.error !== undefined) {
      const shown = showPath(file.shown);
      this.#abandonFile(file);
      this.#unread = { name: this.#fileName, text: `read ${shown}: ${record.error}` };
      return;
    }
    await this.#guard(
      () => file.shown,
      async () => {
        await file.complete(record.sha256);
        this.#file = undefined;
        this.summary.files++;
      },
    );
    this.#skipsFile = false;
  }

  async #makeLink(record: TreeRecord & { kind: "link" }): Promise<void> {
    if (this.#skippedDepth > 0) return;
    const stack = this.#stack;
    const shown = () => stack.shown(record.name);
    await this.#guard(shown, () => {
      const { top } = stack;
      const target = bytesPath(record.target);
      if (isMade(() => top.makeLink(target, record.name))) {
        this.#preserveLink(top, record.name, record);
      } else {
        const existing = top.find(record.name);
        if (existing !== undefined && fileKind(existing) === "directory") {
          throw occupied(shown(), "it is a directory");
        }
        if (this.#options.keep) return;
        if (this.#options.exclusive) throw fileExistsError(shown());
        const name = temporaryName();
        top.makeLink(target, name);
        this.#preserveLink(top, name, record);
        top.rename(name, top, record.name);
      }
      this.summary.links++;
    });
  }

  #preserveLink(directory: DirectoryHandle, name: Uint8Array, record: FileStatus): void {
    if (!this.#options.preserve) return;
    directory.setTimes(name, { accessed: record, modified: record });
    const isTrusted = this.#options.trustsOwner !== false;
    if (isTrusted && process.geteuid?.() === 0) {
      directory.changeOwner(name, record.uid, record.gid);
    }
  }
}

const S_ISGID = 0o2000;
/** What the owner of a directory needs to put files into it. */
const OWNER_BITS = 0o700;

/** Makes an entry; returns false if its name is taken. */
function isMade(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (thrown) {
    if (reasonOf(thrown).errno !== "EEXIST") throw thrown;
    return false;
  }
}

const NO_NAME = new Uint8Array(0);

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "receive files", message });
}
