/** Sends the bytes of one open file on a channel: data, holes, and the end with a checksum. */
import { read, readSync } from "node:fs";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../../errors.ts";
import type { InodeStatus } from "../../ffi/directory-calls.ts";
import { nextData, nextHole } from "../../ffi/sparse.ts";
import { type BytesPath, showPath } from "../../files/bytes-path.ts";
import { DATA_HEADER_BYTES, MAX_CHANNEL_DATA_BYTES } from "../../protocols/agent/channel-frames.ts";
import { encodeTreeRecord } from "../../protocols/agent/tree-records.ts";
import type { Channel } from "../channel/channel.ts";
import { FILE_STREAM } from "./transfer.ts";
import { countOf } from "../../text/count.ts";
import { nextTurn } from "../../io/fair-turns.ts";

const readAsync = promisify(read);

/** A file of up to this size is read synchronously: the thread pool would be slower than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;

/** Limit of bytes that are read of a file beyond its reported size. */
const MAX_UNSIZED_BYTES = 64 * 1024 * 1024;

/** A block of st_blocks, stat(2). */
const STAT_BLOCK_BYTES = 512;

/**
 * Returns the size of a file in bytes; 0 if it is unknown: files of /proc report 0 bytes, files of /sys
 * a page, and neither has blocks.
 */
export function knownSize({ size, blocks }: Pick<InodeStatus, "size" | "blocks">): number {
  return blocks === 0 && size <= SMALL_FILE_BYTES ? 0 : size;
}

/** Options of {@link OutgoingFile}. */
export interface OutgoingFileOptions {
  /** {@link knownSize}. */
  size: number;
  /** Blocks of 512 bytes that the file occupies on the disk. */
  blocks: number;
  checksum: boolean;
  /** Called for all bytes that are sent, holes included. */
  onBytes(bytes: number): void;
}

/** Sends the bytes of one open file, from an offset on. */
export class OutgoingFile {
  readonly #channel: Channel;
  readonly #fd: number;
  readonly #options: OutgoingFileOptions;
  readonly #hash: Bun.CryptoHasher | undefined;

  constructor(channel: Channel, fd: number, options: OutgoingFileOptions) {
    this.#channel = channel;
    this.#fd = fd;
    this.#options = options;
    this.#hash = options.checksum ? new Bun.CryptoHasher("sha256") : undefined;
  }

  /**
   * Sends the bytes and the end record.
   *
   * @throws {VsockboxError} IO if the file cannot be read, which the end record has reported; errors of
   * the channel.
   */
  async send(from: number, shown: () => BytesPath): Promise<void> {
    if (this.#hash !== undefined && from > 0) await hashRange(this.#fd, from, this.#hash);
    const { size, blocks } = this.#options;
    let error: string | undefined;
    try {
      if (size <= SMALL_FILE_BYTES && from === 0) await this.#sendSmall(size);
      else if (blocks * STAT_BLOCK_BYTES < size) await this.#sendSparse(from, size);
      else await this.#sendRange(from, size);
    } catch (thrown) {
      // The end record carries the error, so that the receiver discards the incomplete file.
      if (reasonOf(thrown).errno === undefined || this.#channel.isClosed) throw thrown;
      error = reasonOf(thrown).message;
    }
    const sha256 = this.#hash?.digest("hex");
    await this.#channel.sendRecord(encodeTreeRecord({ kind: "end", sha256, error }));
    if (error !== undefined) {
      const address = showPath(shown());
      throw new VsockboxError({ code: "IO", operation: "read", address, message: error });
    }
  }

  async #sendSmall(size: number): Promise<void> {
    // At least a page: the reported size of a file of /proc is 0.
    const frame = new Uint8Array(DATA_HEADER_BYTES + Math.max(size, 4096));
    for (let total = 0; ;) {
      const capacity = frame.length - DATA_HEADER_BYTES;
      const bytes = readSync(this.#fd, frame, DATA_HEADER_BYTES, capacity, null);
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
    this.#options.onBytes(bytes);
  }

  /** Sends one piece while the next one is read. */
  async #sendRange(from: number, end: number): Promise<void> {
    // Two alternating buffers: a write resolves after the kernel has copied the buffer.
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
    const wanted = Math.min(MAX_CHANNEL_DATA_BYTES, end - offset);
    const { bytesRead } = await readAsync(this.#fd, frame, DATA_HEADER_BYTES, wanted, offset);
    return frame.subarray(0, DATA_HEADER_BYTES + bytesRead);
  }

  async #sendFrame(frame: Uint8Array): Promise<void> {
    const bytes = frame.length - DATA_HEADER_BYTES;
    this.#hash?.update(frame.subarray(DATA_HEADER_BYTES));
    await this.#channel.sendInPlace(FILE_STREAM, frame);
    this.#options.onBytes(bytes);
  }
}

function newBuffer(bytes: number): Uint8Array {
  return new Uint8Array(DATA_HEADER_BYTES + Math.min(MAX_CHANNEL_DATA_BYTES, bytes));
}

/** The error for a file of unknown size, as in /proc, that may not have an end. */
function endless(): Error {
  const mib = MAX_UNSIZED_BYTES / 1024 / 1024;
  return withErrno("EFBIG", `its size is 0, but it contains more than ${mib} MiB`);
}

function becameShorter(missing: number): Error {
  return withErrno("EIO", `the file became ${countOf(missing, "byte")} shorter while it was read`);
}

/** An Error like those of file calls, with the errno in `code`: see `reasonOf`. */
function withErrno(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

const ZEROS = new Uint8Array(256 * 1024);

/** Blocks of zeros that are hashed between two turns of the event loop. */
const TURN_BLOCKS = 64;

/** Adds a hole, which may have any size, to a hash; stops if `isWanted` returns false. */
export async function hashZeros(
  hash: Bun.CryptoHasher,
  bytes: number,
  isWanted: () => boolean,
): Promise<void> {
  let block = 0;
  for (let left = bytes; left > 0; left -= ZEROS.length) {
    hash.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
    if (++block % TURN_BLOCKS !== 0) continue;
    await nextTurn();
    if (!isWanted()) return;
  }
}

/** Adds a file's first bytes to a hash. */
export async function hashRange(fd: number, bytes: number, hash: Bun.CryptoHasher): Promise<void> {
  const block = new Uint8Array(MAX_CHANNEL_DATA_BYTES);
  for (let offset = 0; offset < bytes;) {
    const wanted = Math.min(block.length, bytes - offset);
    const { bytesRead } = await readAsync(fd, block, 0, wanted, offset);
    if (bytesRead === 0) return;
    hash.update(block.subarray(0, bytesRead));
    offset += bytesRead;
  }
}
