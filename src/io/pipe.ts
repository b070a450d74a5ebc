/**
 * The parent's ends of a child's pipes. Real pipes, not the socket pairs of the runtime's own
 * "pipe": a child may open /dev/stdin and /dev/stdout anew only on a pipe.
 */
import { reasonOf, type VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "../ffi/errno.ts";
import {
  closeDescriptor,
  PIPE_BYTES,
  pollDescriptor,
  POLLIN,
  setNewNonBlocking,
  writeDescriptor,
} from "../ffi/socket.ts";
import type { ByteSink, ByteSource } from "./pump.ts";
import { ReadyDescriptor } from "./ready-descriptor.ts";

/** The reading end of a pipe, or a terminal's master. Owns the descriptor. */
export class PipeReader implements ByteSource {
  readonly #fd: number;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #closed = false;

  constructor(fd: number) {
    setNewNonBlocking(fd);
    this.#fd = fd;
    this.#reader = Bun.file(fd).stream().getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  /** The next bytes, or undefined at end of input and after {@link close}. */
  async read(): Promise<Uint8Array | undefined> {
    try {
      const { value, done } = await this.#reader.read();
      return done ? undefined : value;
    } catch (thrown) {
      // The error of a terminal whose other end no process has open.
      if (reasonOf(thrown).errno === "EIO") return undefined;
      throw thrown;
    }
  }

  /** Returns the next bytes, as {@link read}. */
  readLent(): Promise<Uint8Array | undefined> {
    return this.read();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /** Whether the pipe has no bytes and no end. */
  get isIdle(): boolean {
    return !this.#closed && pollDescriptor(this.#fd, POLLIN, 0) === 0;
  }

  /** Closes the pipe; a child that writes again gets SIGPIPE. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#reader.cancel().catch(() => undefined);
    closeDescriptor(this.#fd);
  }
}

/** The writing end of a pipe, or a terminal's master. Owns the descriptor. */
export class PipeWriter implements ByteSink {
  readonly #fd: number;
  readonly #ready: ReadyDescriptor;
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(fd: number) {
    setNewNonBlocking(fd);
    this.#fd = fd;
    this.#ready = new ReadyDescriptor(fd);
  }

  /**
   * Resolves when the kernel has accepted all bytes.
   *
   * @throws {VsockboxError} IO: EPIPE if the other end of a pipe is closed, or this one; EIO if a
   * terminal's other end is closed and its buffer is full.
   */
  write(bytes: Uint8Array): Promise<void> {
    const mine = this.#queue.then(() => this.#write(bytes));
    this.#queue = mine.catch(() => undefined);
    return mine;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#closed) throw writeError(ERRNO.EPIPE);
      const written = writeDescriptor(this.#fd, rest.subarray(0, PIPE_BYTES));
      if (written >= 0) {
        rest = rest.subarray(written);
      } else if (written === -ERRNO.EAGAIN) {
        const result = await this.#ready.writable();
        // A terminal without a process at its other end never has space again.
        if (result === "hung up") throw writeError(ERRNO.EIO);
      } else if (written !== -ERRNO.EINTR) {
        throw writeError(-written);
      }
    }
  }

  /** Closes the pipe once everything is written: the child sees its end of input. */
  async end(): Promise<void> {
    await this.#queue;
    this.close();
  }

  /** Closes the pipe at once; a write that waits fails. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ready.close();
    closeDescriptor(this.#fd);
  }
}

function writeError(errno: number): VsockboxError {
  return systemError(errno, { operation: "write to pipe", code: "IO" });
}
