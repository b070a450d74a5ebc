/** Sending files and trees over a channel: the same on the host (upload) and in the guest (download). */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  read,
  readSync,
  type Stats,
} from "node:fs";
import { lstatSync, readdirSync, statSync } from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../errors.ts";
import { nextData, nextHole } from "../ffi/sparse.ts";
import { type BytesPath, joinPath, showPath } from "../files/bytes-path.ts";
import { fileKind, readLink } from "../files/facts.ts";
import { prefixHash } from "../files/prefix-hash.ts";
import type { ByteSource } from "../net/pump.ts";
import { DATA_HEADER_BYTES, MAX_DATA_BYTES } from "../protocols/agent/channel-frames.ts";
import { bad } from "../protocols/agent/json-fields.ts";
import type { TransferFlags } from "../protocols/agent/channel-requests.ts";
import {
  decodeResumeOffer,
  encodeTreeRecord,
  type FileStatus,
  type ResumeOffer,
  type TreeRecord,
} from "../protocols/agent/tree-records.ts";
import type { Channel } from "./channel.ts";
import {
  FILE_STREAM,
  fileError,
  isFatal,
  type TransferProgress,
  TransferSummary,
} from "./transfer.ts";

const readAsync = promisify(read);

/** One is asked for at a time. */
const MAX_WAITING_OFFERS = 16;

/** A file of up to this size is read at once: the thread pool would take longer than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;

/** Most that is taken of a file beyond the size that it says it has, in bytes. */
const MAX_UNSIZED_BYTES = 64 * 1024 * 1024;

/** A block of st_blocks, stat(2). */
const STAT_BLOCK_BYTES = 512;

/** Options of {@link TreeSender}. */
export interface TreeSenderOptions extends TransferFlags {
  recursive: boolean;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
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
   * @throws {VsockboxError} where `path` itself cannot be read, and where the channel fails. What
   * cannot be read below is noted in the summary, told to the receiver, and left out.
   */
  async send(path: BytesPath, name: Uint8Array): Promise<void> {
    let status: Stats;
    try {
      status = statSync(path);
    } catch (thrown) {
      throw fileError("read", path, thrown);
    }
    if (status.isDirectory() && !this.#options.recursive) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "copy",
        address: showPath(path),
        message: "it is a directory",
        hint: "--recursive (-r) copies directories",
      });
    }
    if (status.isDirectory()) return this.#sendDirectory(path, name, status);
    if (!status.isFile()) {
      throw new VsockboxError({
        code: "IO",
        operation: "copy",
        address: showPath(path),
        message: `it is no regular file but a ${fileKind(status)}`,
        hint: "`-` as the source copies standard input",
      });
    }
    await this.#sendFile(path, name, constants.O_RDONLY).catch((thrown: unknown) => {
      throw fileError("read", path, thrown);
    });
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

  async #sendDirectory(path: BytesPath, name: Uint8Array, status: Stats): Promise<void> {
    let names: Uint8Array[];
    try {
      names = readdirSync(path, { encoding: "buffer" });
    } catch (thrown) {
      return this.#skip(path, name, thrown);
    }
    const exact = statSync(path, { bigint: true });
    await this.#record({ kind: "directory", name, ...fileStatus(status, exact) });
    this.summary.directories++;
    for (const entry of names) await this.#sendEntry(joinPath(path, entry), entry);
    await this.#record({ kind: "leave" });
  }

  async #sendEntry(path: BytesPath, name: Uint8Array): Promise<void> {
    let status: Stats;
    try {
      status = lstatSync(path);
      if (status.isSymbolicLink()) {
        const exact = fileStatus(status, lstatSync(path, { bigint: true }));
        await this.#record({ kind: "link", name, target: readLink(path), ...exact });
        this.summary.links++;
        return;
      }
      if (!status.isDirectory() && !status.isFile()) {
        throw new VsockboxError({
          code: "IO",
          operation: "copy",
          address: showPath(path),
          message: `a ${fileKind(status)} cannot be copied`,
        });
      }
    } catch (thrown) {
      return this.#skip(path, name, thrown);
    }
    if (status.isDirectory()) return this.#sendDirectory(path, name, status);
    await this.#sendFile(path, name, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
      (thrown: unknown) => this.#skip(path, name, thrown),
    );
  }

  /** Leaves out what cannot be read, and says so; a broken channel is no such case. */
  async #skip(path: BytesPath, name: Uint8Array, thrown: unknown): Promise<void> {
    if (this.#channel.isClosed) throw thrown;
    const error = fileError("read", path, thrown);
    if (isFatal(error)) throw error;
    await this.#record({ kind: "skipped", name, error: error.message });
    this.summary.note(error.message);
  }

  async #sendFile(path: BytesPath, name: Uint8Array, flags: number): Promise<void> {
    const fd = openSync(path, flags | constants.O_NONBLOCK);
    try {
      const status = fstatSync(fd);
      if (hasMadeUpSize(status)) status.size = 0;
      const size = status.size === 0 ? undefined : status.size;
      const exact = fileStatus(status, fstatSync(fd, { bigint: true }));
      await this.#record({ kind: "file", name, size, ...exact });
      const from = await this.#agreeOnStart(fd, status.size);
      if (from === undefined) {
        this.summary.files++;
        return;
      }
      const content = new FileContent(this.#channel, fd, status, this.#options.checksum, (bytes) =>
        this.#advance(bytes),
      );
      await content.send(from, showPath(path));
      this.summary.files++;
    } finally {
      closeSync(fd);
    }
  }

  /** Where to begin: 0 but for a resumed file; undefined where nothing is to be sent. */
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

/** The bytes of one open file, from an offset on. */
class FileContent {
  readonly #channel: Channel;
  readonly #fd: number;
  readonly #status: Stats;
  readonly #hash: Bun.CryptoHasher | undefined;
  readonly #advance: (bytes: number) => void;

  constructor(
    channel: Channel,
    fd: number,
    status: Stats,
    checksum: boolean,
    advance: (bytes: number) => void,
  ) {
    this.#channel = channel;
    this.#fd = fd;
    this.#status = status;
    this.#hash = checksum ? new Bun.CryptoHasher("sha256") : undefined;
    this.#advance = advance;
  }

  async send(from: number, shown: string): Promise<void> {
    if (this.#hash !== undefined && from > 0) await hashRange(this.#fd, from, this.#hash);
    const { size, blocks } = this.#status;
    let error: string | undefined;
    try {
      if (size <= SMALL_FILE_BYTES && from === 0) await this.#sendSmall(size);
      else if (blocks * STAT_BLOCK_BYTES < size) await this.#sendSparse(from, size);
      else await this.#sendRange(from, size);
    } catch (thrown) {
      // The receiver must not take what it has for the whole file.
      if (reasonOf(thrown).errno === undefined || this.#channel.isClosed) throw thrown;
      error = reasonOf(thrown).message;
    }
    const sha256 = this.#hash?.digest("hex");
    await this.#channel.sendRecord(encodeTreeRecord({ kind: "end", sha256, error }));
    if (error !== undefined) {
      throw new VsockboxError({ code: "IO", operation: "read", address: shown, message: error });
    }
  }

  async #sendSmall(size: number): Promise<void> {
    // One byte more than it has: a file of /proc says 0.
    const frame = new Uint8Array(DATA_HEADER_BYTES + Math.max(size, 4096));
    for (let total = 0; ;) {
      const room = frame.length - DATA_HEADER_BYTES;
      const bytes = readSync(this.#fd, frame, DATA_HEADER_BYTES, room, null);
      if (bytes === 0) {
        if (total < size) throw becameShorter(size - total);
        return;
      }
      total += bytes;
      if (total > size + MAX_UNSIZED_BYTES) throw endless();
      await this.#sendFrame(frame.subarray(0, DATA_HEADER_BYTES + bytes).slice());
      if (total === size && size > 0) return;
    }
  }

  async #sendSparse(from: number, size: number): Promise<void> {
    for (let offset = from; offset < size;) {
      const data = Math.min(nextData(this.#fd, offset) ?? size, size);
      if (data > offset) await this.#sendHole(data - offset);
      if (data === size) return;
      const hole = Math.min(nextHole(this.#fd, data) ?? size, size);
      await this.#sendRange(data, hole);
      offset = hole;
    }
  }

  async #sendHole(bytes: number): Promise<void> {
    if (this.#hash !== undefined) {
      await hashZeros(this.#hash, bytes, () => !this.#channel.isClosed);
    }
    await this.#channel.sendRecord(encodeTreeRecord({ kind: "hole", bytes }));
    this.#advance(bytes);
  }

  /** Reads one piece ahead while the one before is on its way. */
  async #sendRange(from: number, end: number): Promise<void> {
    // Two buffers in turn: the kernel has taken one before it is filled again.
    const buffers = [newBuffer(end - from), newBuffer(end - from)] as const;
    let next = this.#readAt(buffers[0], from, end);
    for (let offset = from, turn = 1; offset < end; turn++) {
      const frame = await next;
      const bytes = frame.length - DATA_HEADER_BYTES;
      if (bytes === 0) throw becameShorter(end - offset);
      offset += bytes;
      if (offset < end) {
        next = this.#readAt(buffers[turn % 2 === 0 ? 0 : 1], offset, end);
        next.catch(() => undefined);
      }
      await this.#sendFrame(frame);
    }
  }

  async #readAt(frame: Uint8Array, offset: number, end: number): Promise<Uint8Array> {
    const wanted = Math.min(MAX_DATA_BYTES, end - offset);
    const { bytesRead } = await readAsync(this.#fd, frame, DATA_HEADER_BYTES, wanted, offset);
    return frame.subarray(0, DATA_HEADER_BYTES + bytesRead);
  }

  async #sendFrame(frame: Uint8Array): Promise<void> {
    const bytes = frame.length - DATA_HEADER_BYTES;
    this.#hash?.update(frame.subarray(DATA_HEADER_BYTES));
    await this.#channel.sendInPlace(FILE_STREAM, frame);
    this.#advance(bytes);
  }
}

/** Files of /proc say that they have no bytes, files of /sys that they have a page; none has blocks. */
function hasMadeUpSize({ size, blocks }: Stats): boolean {
  return blocks === 0 && size <= SMALL_FILE_BYTES;
}

function newBuffer(bytes: number): Uint8Array {
  return new Uint8Array(DATA_HEADER_BYTES + Math.min(MAX_DATA_BYTES, bytes));
}

/** Files of /proc that give more than they say may never end. */
function endless(): Error {
  const mib = MAX_UNSIZED_BYTES / 1024 / 1024;
  return Object.assign(
    new Error(`EFBIG: it says that it is empty and gave more than ${mib} MiB, read`),
    { code: "EFBIG" },
  );
}

function becameShorter(missing: number): Error {
  return Object.assign(
    new Error(`EIO: the file became ${missing} bytes shorter while it was read, read`),
    { code: "EIO" },
  );
}

const ZEROS = new Uint8Array(256 * 1024);

/** Blocks of zeros that are hashed before others have a turn. */
const TURN_BLOCKS = 64;

/** Feeds a hole, which may be of any size, to a hash, for as long as it is wanted. */
export async function hashZeros(
  hash: Bun.CryptoHasher,
  bytes: number,
  isWanted: () => boolean,
): Promise<void> {
  let block = 0;
  for (let left = bytes; left > 0; left -= ZEROS.length) {
    hash.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
    if (++block % TURN_BLOCKS !== 0) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (!isWanted()) return;
  }
}

/** Feeds a file's first bytes to a hash. */
export async function hashRange(fd: number, bytes: number, hash: Bun.CryptoHasher): Promise<void> {
  const block = new Uint8Array(MAX_DATA_BYTES);
  for (let offset = 0; offset < bytes;) {
    const wanted = Math.min(block.length, bytes - offset);
    const { bytesRead } = await readAsync(fd, block, 0, wanted, offset);
    if (bytesRead === 0) return;
    hash.update(block.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

const NANOSECONDS = 1_000_000_000n;

/** Of times the runtime's plain numbers lose the last digits. */
function fileStatus({ mode, uid, gid }: Stats, { mtimeNs }: BigIntStats): FileStatus {
  // Counted from the second before, also before 1970.
  const nanoseconds = ((mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  const seconds = (mtimeNs - nanoseconds) / NANOSECONDS;
  return {
    mode: mode & 0o7777,
    seconds: Number(seconds),
    nanoseconds: Number(nanoseconds),
    uid,
    gid,
  };
}
