/**
 * Reading a command's output in large pieces.
 *
 * A program that writes 4 KiB at a time wakes its reader for each of them, and each piece that is read
 * alone costs a frame, a system call or two and some promises at both ends. So a piece that has begun is
 * read on, once in each turn of the event loop, for as long as every turn finds more; the first turn
 * without a byte sends it. Output that comes slowly is not delayed by more than one turn.
 *
 * Turns cost more than the bytes that they find if the program writes without pause on a busy machine. So
 * after a piece of some size that has followed another at once, the pipe is given a moment to fill.
 */
import { ERRNO, systemError } from "../ffi/errno.ts";
import { pauseThread } from "../ffi/pause.ts";
import {
  closeDescriptor,
  pollDescriptor,
  POLLIN,
  readDescriptor,
  setNewNonBlocking,
} from "../ffi/socket.ts";
import { borrowBuffer, returnBuffer } from "./buffer-pool.ts";
import { nextTurn } from "./fair-turns.ts";
import { PipeReader } from "./pipe.ts";
import type { ByteSource } from "./pump.ts";
import { type DescriptorWatch, descriptorWatch } from "./descriptor-watch.ts";
import { ReadyDescriptor } from "./ready-descriptor.ts";

/** A piece of this size is not waited with any longer, in bytes. */
const ENOUGH_BYTES = 64 * 1024;

/** So much is read without a turn of the event loop, in bytes. */
const TURN_BYTES = 256 * 1024;

/** A piece of this size may be one of many, in bytes. */
const STEADY_BYTES = 4096;

/** A piece that follows another one within this time is one of many, in milliseconds. */
const STEADY_MS = 1;

/** How long a pipe is given to fill, in microseconds: the time of about 64 KiB. All else waits meanwhile. */
const FILL_US = 50;

/** The reading end of a command's pipe. */
export interface OutputReader extends ByteSource {
  /** Returns the next bytes, or undefined at end of input and after {@link close}. */
  read(): Promise<Uint8Array | undefined>;
  /** Returns the next bytes likewise, which may only be used until the next call. */
  readLent(): Promise<Uint8Array | undefined>;
  /** Whether the pipe has no bytes and no end, and no piece is being read. */
  readonly isIdle: boolean;
  /** Closes the pipe; a child that writes on gets SIGPIPE. */
  close(): Promise<void>;
}

/** Opens a reader, which owns the descriptor. */
export function openOutput(fd: number, watch: DescriptorWatch = descriptorWatch()): OutputReader {
  // Without events of the kernel the runtime's own reader notices output sooner.
  return watch.hasEvents ? new BatchingReader(fd, watch) : new PipeReader(fd);
}

/** Reads pieces of up to `POOLED_BYTES`. One read at a time. Owns the descriptor. */
export class BatchingReader implements OutputReader {
  readonly #fd: number;
  readonly #ready: ReadyDescriptor;
  #isEmpty = false;
  /** When the last piece was read that may be one of many, by performance.now(). */
  #steadyAt = -Infinity;
  #lent: Uint8Array | undefined;
  #hasEnded = false;
  #isClosed = false;
  #sinceTurnBytes = 0;

  constructor(fd: number, watch: DescriptorWatch = descriptorWatch()) {
    setNewNonBlocking(fd);
    this.#fd = fd;
    this.#ready = new ReadyDescriptor(fd, watch);
  }

  /**
   * Returns the next bytes, or undefined at end of input and after {@link close}.
   *
   * @throws {VsockboxError} IO.
   */
  async read(): Promise<Uint8Array | undefined> {
    const piece = await this.readLent();
    return piece?.slice();
  }

  async readLent(): Promise<Uint8Array | undefined> {
    if (this.#lent !== undefined) returnBuffer(this.#lent);
    this.#lent = undefined;
    while (!this.#hasEnded && !this.#isClosed) {
      if (this.#isEmpty) await this.#untilReadable();
      else if (this.#sinceTurnBytes >= TURN_BYTES) await this.#turn();
      const piece = await this.#readPiece();
      if (piece !== undefined) return piece;
    }
    return undefined;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const piece = await this.read();
      if (piece === undefined) return;
      yield piece;
    }
  }

  async *lend(): AsyncGenerator<Uint8Array, undefined, undefined> {
    for (;;) {
      const piece = await this.readLent();
      if (piece === undefined) return;
      yield piece;
    }
  }

  async #readPiece(): Promise<Uint8Array | undefined> {
    const buffer = borrowBuffer();
    let filled = 0;
    while (!this.#isClosed) {
      const count = this.#readSome(buffer.subarray(filled));
      filled += count;
      this.#sinceTurnBytes += count;
      if (count === 0 || filled >= ENOUGH_BYTES) break;
      if (this.#isSteady(filled)) pauseThread(FILL_US);
      else await this.#turn();
    }
    if (filled === 0) {
      returnBuffer(buffer);
      return undefined;
    }
    if (filled >= STEADY_BYTES) this.#steadyAt = performance.now();
    // Bytes that were read before a close are not lost.
    this.#lent = buffer;
    return buffer.subarray(0, filled);
  }

  #isSteady(pieceBytes: number): boolean {
    return pieceBytes >= STEADY_BYTES && performance.now() - this.#steadyAt < STEADY_MS;
  }

  /** Returns 0 if nothing more can be read now, or ever. */
  #readSome(buffer: Uint8Array): number {
    for (;;) {
      const count = readDescriptor(this.#fd, buffer);
      this.#isEmpty = count === -ERRNO.EAGAIN;
      if (count > 0) return count;
      if (count === -ERRNO.EINTR) continue;
      // How a terminal reports that no process has its other end open any more.
      if (count === 0 || count === -ERRNO.EIO) this.#hasEnded = true;
      else if (!this.#isEmpty) {
        throw systemError(-count, { operation: "read from pipe", code: "IO" });
      }
      return 0;
    }
  }

  #turn(): Promise<void> {
    this.#sinceTurnBytes = 0;
    return nextTurn();
  }

  #untilReadable(): Promise<void> {
    this.#sinceTurnBytes = 0;
    return this.#ready.readable();
  }

  get isIdle(): boolean {
    return this.#ready.isWaitingToRead && pollDescriptor(this.#fd, POLLIN, 0) === 0;
  }

  /** Closes the pipe; a child that writes on gets SIGPIPE, and a read that waits ends. */
  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#isClosed = true;
    this.#ready.close();
    closeDescriptor(this.#fd);
    return Promise.resolve();
  }
}
