/**
 * Sends files and trees on a channel: on the host for an upload, in the guest for a download.
 *
 * A transfer is a sequence of records (`protocols/agent/tree-records.ts`) and data, in one direction:
 *
 *   directory NAME … leave     an entry of the current directory, its own entries, and its end
 *   file NAME … end            a file: data on FILE_STREAM and `hole` records, then `end` with a checksum
 *   link NAME TARGET           a symbolic link
 *   skipped NAME ERROR         an entry that could not be read; the transfer goes on
 *
 * Holes of a sparse file are records without bytes, found by SEEK_HOLE (`outgoing-file.ts`).
 *
 * With `resume` or `keep` the sender waits after each `file` record for the receiver's offer, a control
 * message: `same` (nothing is to be sent, and no `end` follows) or `part` with the size and hash of an
 * unfinished file. The sender compares the hash with its own file and answers with a `from` record, the
 * offset of the first byte that follows: the offered size if the hash is the same, else 0.
 *
 * The operand itself may be a symbolic link; no link below it is followed. The tree is walked by
 * directory descriptors, so that a user with write access to it cannot redirect the walk out of it.
 */
import { closeSync, constants } from "node:fs";
import { VsockboxError } from "../../errors.ts";
import {
  type DirectoryEntry,
  DT_REG,
  type InodeStatus,
  O_PATH,
  statDescriptor,
} from "../../ffi/directory-calls.ts";
import { type BytesPath, showPath } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { DirectoryStack } from "../../files/directory-stack.ts";
import { fileKind, kindInWords } from "../../files/facts.ts";
import { prefixHash } from "../../files/prefix-hash.ts";
import { openEntry, resolvePath } from "../../files/resolve-path.ts";
import type { ByteSource } from "../../io/pump.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import type { TransferFlags } from "../../protocols/agent/channel-requests.ts";
import {
  decodeResumeOffer,
  encodeTreeRecord,
  type FileStatus,
  type ResumeOffer,
  type TreeRecord,
} from "../../protocols/agent/tree-records.ts";
import type { Channel } from "../channel/channel.ts";
import { knownSize, OutgoingFile } from "./outgoing-file.ts";
import {
  FILE_STREAM,
  fileError,
  isFatal,
  type TransferProgress,
  TransferSummary,
} from "./transfer.ts";

/** Limit of offers that have not been read; one `file` record causes one offer. */
const MAX_WAITING_OFFERS = 16;

/** To read a file; O_NONBLOCK, since opening a FIFO would block. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

const SELF = Buffer.from(".");

/** Options of {@link TreeSender}. */
export interface TreeSenderOptions extends TransferFlags {
  recursive: boolean;
  /** Whether an entry below the root of a tree is sent, by its path from there; undefined: all are. */
  selects?: ((path: BytesPath) => boolean) | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Called for each record after it was sent. */
  onRecord?: ((record: TreeRecord) => void) | undefined;
}

/** Position in a directory that is being sent. */
interface Cursor {
  entries: readonly DirectoryEntry[];
  next: number;
}

/** An opened file or directory to be sent. */
export interface OpenedSource {
  /** Opened with O_PATH; the caller closes it. */
  fd: number;
  /** Opens the same file for reading. */
  open(flags: number): number;
}

/** Sends files to the receiver at the other end of a channel. */
export class TreeSender {
  readonly summary = new TransferSummary();
  readonly #channel: Channel;
  readonly #options: TreeSenderOptions;
  readonly #offers: ResumeOffer[] = [];
  #isInTree = false;
  #offerWaiter: PromiseWithResolvers<void> | undefined;

  constructor(channel: Channel, options: TreeSenderOptions) {
    this.#channel = channel;
    this.#options = options;
    channel.onControl = (value) => {
      if (this.#offers.length >= MAX_WAITING_OFFERS)
        throw badField("offer", "no peer has requested it");
      this.#offers.push(decodeResumeOffer(value));
      this.#offerWaiter?.resolve();
    };
    void channel.peerClosed.then(() => this.#offerWaiter?.resolve());
  }

  /**
   * Sends a file or tree under the given name. A symbolic link at `path` is followed; links below it
   * are sent as links.
   *
   * @throws {VsockboxError} if `path` itself cannot be read, or the channel fails. Unreadable entries
   * below it are noted in the summary, reported to the receiver, and skipped.
   */
  async send(path: BytesPath, name: Uint8Array): Promise<void> {
    try {
      using resolved = resolvePath(path, true);
      const fd = openEntry(resolved, O_PATH);
      try {
        const open = (flags: number) => openEntry(resolved, flags);
        await this.sendOpened({ fd, open }, path, name);
      } finally {
        closeSync(fd);
      }
    } catch (thrown) {
      throw this.#channel.isClosed ? thrown : fileError("read", path, thrown);
    }
  }

  /**
   * Sends a file or tree that has been opened.
   *
   * @param shown its path, for messages.
   * @throws {VsockboxError} as {@link send}.
   */
  async sendOpened(source: OpenedSource, shown: BytesPath, name: Uint8Array): Promise<void> {
    const kind = fileKind(statDescriptor(source.fd));
    if (kind === "directory" && !this.#options.recursive) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "copy",
        address: showPath(shown),
        message: "it is a directory",
        hint: "--recursive (-r) copies directories",
      });
    }
    if (kind === "directory") return this.#sendTree(source, shown, name);
    if (kind !== "file") {
      throw new VsockboxError({
        code: "IO",
        operation: "copy",
        address: showPath(shown),
        message: `it is not a regular file but a ${kindInWords(kind)}`,
        hint: "`-` as the source copies standard input",
      });
    }
    await this.#sendFile(source.open(READ_FLAGS), () => shown, name);
  }

  /** Sends bytes of unknown length as a file. */
  async sendStream(source: ByteSource, name: Uint8Array): Promise<void> {
    const seconds = Math.floor(Date.now() / 1000);
    const status = { mode: 0o644, seconds, nanoseconds: 0, uid: 0, gid: 0 };
    await this.#record({ kind: "file", name, size: undefined, ...status });
    const hash = this.#options.checksum ? new Bun.CryptoHasher("sha256") : undefined;
    if (this.#options.resume || this.#options.keep) {
      if ((await this.#nextOffer()).kind === "same") return;
      await this.#record({ kind: "from", offset: 0 });
    }
    for await (const chunk of source) {
      hash?.update(chunk);
      await this.#channel.send(FILE_STREAM, chunk);
      this.#advance(chunk.length);
    }
    await this.#record({ kind: "end", sha256: hash?.digest("hex"), error: undefined });
    this.summary.files++;
  }

  /** Whether another source can be sent; false after one that has failed in the middle of its tree. */
  get isBetweenSources(): boolean {
    return !this.#isInTree;
  }

  async #record(record: TreeRecord): Promise<void> {
    await this.#channel.sendRecord(encodeTreeRecord(record));
    this.#options.onRecord?.(record);
  }

  #advance(bytes: number): void {
    this.summary.bytes += bytes;
    this.#options.onProgress?.(this.summary);
  }

  async #sendTree(source: OpenedSource, shown: BytesPath, name: Uint8Array): Promise<void> {
    let root: DirectoryHandle;
    let cursor: Cursor;
    try {
      root = DirectoryHandle.borrow(source.fd).openDirectory(SELF);
    } catch (thrown) {
      return this.#skip(() => shown, name, thrown);
    }
    try {
      cursor = { entries: root.entries(), next: 0 };
    } catch (thrown) {
      root.close();
      return this.#skip(() => shown, name, thrown);
    }
    using stack = new DirectoryStack(root, shown, cursor);
    this.#isInTree = true;
    await this.#recordDirectory(name, root.status());
    while (await this.#step(stack));
    this.#isInTree = false;
  }

  async #recordDirectory(name: Uint8Array, status: InodeStatus): Promise<void> {
    await this.#record({ kind: "directory", name, ...fileStatus(status) });
    this.summary.directories++;
  }

  /** Sends the next entry of the innermost directory, or its end; returns false at the end of the tree. */
  async #step(stack: DirectoryStack<Cursor>): Promise<boolean> {
    const cursor = stack.state;
    const entry = cursor.entries[cursor.next++];
    if (entry !== undefined) {
      if (!this.#isSelected(stack, entry)) return true;
      const shown = () => stack.shown(entry.name);
      try {
        await this.#sendEntry(stack, entry, shown);
      } catch (thrown) {
        await this.#skip(shown, entry.name, thrown);
      }
      return true;
    }
    await this.#record({ kind: "leave" });
    if (stack.depth === 0) return false;
    const { depth, name } = stack;
    try {
      stack.leave();
    } catch (thrown) {
      for (let level = depth - 1; level > stack.depth; level--)
        await this.#record({ kind: "leave" });
      await this.#skip(() => stack.shown(), name, thrown);
    }
    return true;
  }

  #isSelected(stack: DirectoryStack<Cursor>, { name }: DirectoryEntry): boolean {
    const { selects } = this.#options;
    return selects === undefined || selects(stack.relative(name));
  }

  async #sendEntry(
    stack: DirectoryStack<Cursor>,
    { name, type }: DirectoryEntry,
    shown: () => BytesPath,
  ): Promise<void> {
    const { top } = stack;
    // A file that is not regular any more is detected after opening it.
    if (type === DT_REG) return this.#sendFile(top.openFile(name, READ_FLAGS), shown, name);
    const status = top.find(name);
    if (status === undefined) throw vanished();
    const kind = fileKind(status);
    if (kind === "file") return this.#sendFile(top.openFile(name, READ_FLAGS), shown, name);
    if (kind === "link") {
      const target = top.readLink(name);
      await this.#record({ kind: "link", name, target, ...fileStatus(status) });
      this.summary.links++;
      return;
    }
    if (kind !== "directory") throw notCopied(shown(), kind);
    const handle = top.openDirectory(name);
    try {
      const cursor = { entries: handle.entries(), next: 0 };
      await this.#recordDirectory(name, handle.status());
      stack.enter(handle, name, cursor);
    } catch (thrown) {
      handle.close();
      throw thrown;
    }
  }

  /** Reports an entry that cannot be read, and skips it; throws if the channel is the reason. */
  async #skip(shown: () => BytesPath, name: Uint8Array, thrown: unknown): Promise<void> {
    if (this.#channel.isClosed) throw thrown;
    const error = fileError("read", shown(), thrown);
    if (isFatal(error)) throw error;
    await this.#record({ kind: "skipped", name, error: error.message });
    this.summary.note(error);
  }

  /** Sends an open file, and closes it. */
  async #sendFile(fd: number, shown: () => BytesPath, name: Uint8Array): Promise<void> {
    const { bytes, reused } = this.summary;
    try {
      const status = statDescriptor(fd);
      const kind = fileKind(status);
      if (kind !== "file") throw notCopied(shown(), kind);
      const size = knownSize(status);
      const known = size === 0 ? undefined : size;
      await this.#record({ kind: "file", name, size: known, ...fileStatus(status) });
      const from = await this.#agreeOnStart(fd, size);
      if (from !== undefined) {
        const { checksum } = this.#options;
        const onBytes = (count: number) => this.#advance(count);
        const options = { size, blocks: status.blocks, checksum, onBytes };
        await new OutgoingFile(this.#channel, fd, options).send(from, shown);
        this.#options.onRecord?.({ kind: "end", sha256: undefined, error: undefined });
      }
      this.summary.files++;
    } catch (thrown) {
      // Only bytes of complete files are counted.
      this.summary.bytes = bytes;
      this.summary.reused = reused;
      throw thrown;
    } finally {
      closeSync(fd);
    }
  }

  /** Returns the offset of the first byte to send: 0 without resume; undefined if nothing is to be sent. */
  async #agreeOnStart(fd: number, size: number): Promise<number | undefined> {
    if (!this.#options.resume && !this.#options.keep) return 0;
    const offer = await this.#nextOffer();
    if (offer.kind === "same") {
      this.summary.reused += size;
      this.#advance(size);
      return undefined;
    }
    const fits = offer.bytes > 0 && offer.bytes <= size;
    const from = fits && (await prefixHash(fd, offer.bytes)) === offer.hash ? offer.bytes : 0;
    await this.#record({ kind: "from", offset: from });
    this.summary.reused += from;
    this.#advance(from);
    return from;
  }

  async #nextOffer(): Promise<ResumeOffer> {
    for (;;) {
      const offer = this.#offers.shift();
      if (offer !== undefined) return offer;
      if (this.#channel.isClosed) {
        await this.#channel.result;
        throw new VsockboxError({ code: "TRANSPORT", operation: "copy", message: "it was ended" });
      }
      this.#offerWaiter = Promise.withResolvers();
      await this.#offerWaiter.promise;
    }
  }
}

function fileStatus({ mode, modified, uid, gid }: InodeStatus): FileStatus {
  return { mode: mode & 0o7777, ...modified, uid, gid };
}

function notCopied(path: BytesPath, kind: string): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "copy",
    address: showPath(path),
    message: `a ${kindInWords(kind)} cannot be copied`,
  });
}

/** An entry that was removed between the listing of its directory and its turn. */
function vanished(): Error {
  return Object.assign(new Error("ENOENT: no such file or directory, stat"), { code: "ENOENT" });
}
