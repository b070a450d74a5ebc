/**
 * Sending files and trees over a channel: the same on the host (upload) and in the guest (download).
 * A tree is walked by descriptors, and no link in it is followed, so that a user that may write to the
 * tree cannot lead the walk out of it.
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
import { bad } from "../../protocols/agent/json-fields.ts";
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

/** One is asked for at a time. */
const MAX_WAITING_OFFERS = 16;

/** To read a file; a FIFO in its place must not block. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

const SELF = Buffer.from(".");

/** Options of {@link TreeSender}. */
export interface TreeSenderOptions extends TransferFlags {
  recursive: boolean;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** Where the walk of a directory is. */
interface Cursor {
  entries: readonly DirectoryEntry[];
  next: number;
}

/** A file or directory that is to be sent. */
export interface OpenedSource {
  /** Opened only to be named; it stays the caller's. */
  fd: number;
  /** Opens the same to be read. */
  open(flags: number): number;
}

/** Sends files to the receiver at the other end of a channel. */
export class TreeSender {
  readonly summary = new TransferSummary();
  readonly #channel: Channel;
  readonly #options: TreeSenderOptions;
  readonly #offers: ResumeOffer[] = [];
  #offerWaiter: PromiseWithResolvers<void> | undefined;

  constructor(channel: Channel, options: TreeSenderOptions) {
    this.#channel = channel;
    this.#options = options;
    channel.onControl = (value) => {
      if (this.#offers.length >= MAX_WAITING_OFFERS) throw bad("offer", "nobody has asked for it");
      this.#offers.push(decodeResumeOffer(value));
      this.#offerWaiter?.resolve();
    };
    void channel.peerLeft.then(() => this.#offerWaiter?.resolve());
  }

  /**
   * Sends a file or tree under the given name. A symbolic link that is named itself is followed;
   * links below are sent as links.
   *
   * @throws {VsockboxError} if `path` itself cannot be read, or the channel fails. What cannot be read
   * below is noted in the summary, reported to the receiver, and left out.
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

  #record(record: TreeRecord): Promise<void> {
    return this.#channel.sendRecord(encodeTreeRecord(record));
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
    await this.#recordDirectory(name, root.status());
    while (await this.#step(stack));
  }

  async #recordDirectory(name: Uint8Array, status: InodeStatus): Promise<void> {
    await this.#record({ kind: "directory", name, ...fileStatus(status) });
    this.summary.directories++;
  }

  /** Sends the next entry of the innermost directory, or leaves that; false at the end of the tree. */
  async #step(stack: DirectoryStack<Cursor>): Promise<boolean> {
    const cursor = stack.state;
    const entry = cursor.entries[cursor.next++];
    if (entry !== undefined) {
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
      for (let lost = depth - 1; lost > stack.depth; lost--) await this.#record({ kind: "leave" });
      await this.#skip(() => stack.shown(), name, thrown);
    }
    return true;
  }

  async #sendEntry(
    stack: DirectoryStack<Cursor>,
    { name, type }: DirectoryEntry,
    shown: () => BytesPath,
  ): Promise<void> {
    const { top } = stack;
    // What is not a regular file after all is found out when it is open.
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

  /** Leaves out what cannot be read, and reports it; a broken channel is not such a case. */
  async #skip(shown: () => BytesPath, name: Uint8Array, thrown: unknown): Promise<void> {
    if (this.#channel.isClosed) throw thrown;
    const error = fileError("read", shown(), thrown);
    if (isFatal(error)) throw error;
    await this.#record({ kind: "skipped", name, error: error.message });
    this.summary.note(error.message);
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
      }
      this.summary.files++;
    } catch (thrown) {
      // Only bytes of files that arrive are counted.
      this.summary.bytes = bytes;
      this.summary.reused = reused;
      throw thrown;
    } finally {
      closeSync(fd);
    }
  }

  /** Where to begin: 0 but for a resumed file; undefined if nothing is to be sent. */
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
