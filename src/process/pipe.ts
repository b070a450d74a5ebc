/**
 * The parent's ends of a child's pipes. Real pipes, not the socket pairs of the runtime's own
 * "pipe": a child may open /dev/stdin and /dev/stdout anew only on a pipe.
 */
import { reasonOf, VsockboxError } from "../errors.ts";
import { closeDescriptor, PIPE_BYTES, setNonBlocking } from "../ffi/socket.ts";
import type { ByteSink, ByteSource } from "../net/pump.ts";

/** The reading end of a pipe, or a terminal's master. Owns the descriptor. */
export class PipeReader implements ByteSource {
  readonly #fd: number;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #closed = false;

  constructor(fd: number) {
    setNonBlocking(fd);
    this.#fd = fd;
    this.#reader = Bun.file(fd).stream().getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  /** The next bytes, or undefined at end of input and after {@link close}. */
  async read(): Promise<Uint8Array | undefined> {
    try {
      const { value, done } = await this.#reader.read();
      return done ? undefined : value;
    } catch (thrown) {
      // How a terminal says that nobody has its other end open any more.
      if (reasonOf(thrown).errno === "EIO") return undefined;
      throw thrown;
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /** Gives the pipe up; a child that writes on gets SIGPIPE. */
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
  readonly #sink: Bun.FileSink;
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(fd: number) {
    setNonBlocking(fd);
    this.#fd = fd;
    this.#sink = Bun.file(fd).writer({ highWaterMark: PIPE_BYTES });
  }

  /**
   * Resolves when the pipe has taken all bytes.
   *
   * @throws {VsockboxError} IO (EPIPE) where the child has closed its end.
   */
  write(bytes: Uint8Array): Promise<void> {
    const mine = this.#queue.then(() => this.#write(bytes));
    this.#queue = mine.catch(() => undefined);
    return mine;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) {
      throw new VsockboxError({
        code: "IO",
        operation: "write to pipe",
        errno: "EPIPE",
        message: "it is closed",
      });
    }
    for (let offset = 0; offset < bytes.length; offset += PIPE_BYTES) {
      await this.#sink.write(bytes.subarray(offset, offset + PIPE_BYTES));
      await this.#sink.flush();
    }
  }

  /** Closes the pipe once everything is written: the child sees its end of input. */
  async end(): Promise<void> {
    await this.#queue;
    if (this.#closed) return;
    this.#closed = true;
    // The sink works on a duplicate of the descriptor, so both have to be closed.
    await Promise.resolve(this.#sink.end()).catch(() => undefined);
    closeDescriptor(this.#fd);
  }
}
