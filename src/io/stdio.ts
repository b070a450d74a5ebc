/** This process's own standard input and output, with backpressure and never blocking the loop. */
import { fstatSync, read } from "node:fs";
import { promisify } from "node:util";
import { OutputError, reasonOf, VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "../ffi/errno.ts";
import { wasClosedAtStart } from "../ffi/standard-streams.ts";
import type { ByteSink, ByteSource } from "./pump.ts";

const readAsync = promisify(read);

/** Bytes per read of a regular file. */
const FILE_CHUNK_BYTES = 256 * 1024;

/** What is at least so long goes to the kernel without a copy in the runtime, in bytes. */
const DIRECT_WRITE_BYTES = 16 * 1024;

/**
 * Reads standard input until its end. A closed standard input is an empty one.
 *
 * @throws {VsockboxError} IO while it is read, such as EISDIR for a directory.
 */
export async function* standardInput(): AsyncGenerator<Uint8Array> {
  try {
    yield* openStandardInput();
  } catch (thrown) {
    throw new VsockboxError({
      code: "IO",
      operation: "read",
      address: "standard input",
      ...reasonOf(thrown),
      cause: thrown,
    });
  }
}

/**
 * {@link standardInput}, for an operand that names it: it must not be closed.
 *
 * @throws {VsockboxError} IO with EBADF.
 */
export function requiredStandardInput(): AsyncGenerator<Uint8Array> {
  if (!wasClosedAtStart(0)) return standardInput();
  throw systemError(ERRNO.EBADF, { operation: "read", address: "standard input", code: "IO" });
}

function openStandardInput(): ByteSource {
  try {
    // The runtime's own stream begins a regular file at its first byte, wherever the descriptor
    // stands: `(read line; vsockbox …) < file` would see the line twice.
    if (fstatSync(0).isFile()) return readFromOffset(0);
  } catch {
    return nothing();
  }
  return Bun.stdin.stream();
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // No bytes at all.
}

async function* readFromOffset(fd: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const chunk = new Uint8Array(FILE_CHUNK_BYTES);
    const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, null);
    if (bytesRead === 0) return;
    yield chunk.subarray(0, bytesRead);
  }
}

/** Standard output or standard error as a sink. */
export class StandardOutput implements ByteSink {
  readonly #fd: 1 | 2;
  readonly #sink: Bun.FileSink;
  readonly #isClosed: boolean;

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    // Closing standard error (2>&-) is a way to suppress messages.
    this.#isClosed = fd === 1 && wasClosedAtStart(1);
    this.#sink = Bun.file(fd).writer({ highWaterMark: DIRECT_WRITE_BYTES });
  }

  /**
   * Resolves when the reader of the output accepts more.
   *
   * @throws {VsockboxError} IO: EPIPE if the reader has closed, ENOSPC if the disk is full, EBADF if
   * standard output was closed when the process started.
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed && bytes.length > 0) {
      throw new OutputError(1, { errno: "EBADF", message: "bad file descriptor" });
    }
    try {
      await this.#sink.write(bytes);
      await this.#sink.flush();
    } catch (thrown) {
      throw new OutputError(this.#fd, reasonOf(thrown), thrown);
    }
  }

  /** Nothing to be done: the descriptor is the caller's. */
  async end(): Promise<void> {
    await this.#sink.flush();
  }
}

/** Whether an error means that the reader of our output has closed it, as in `… | head -1`. */
export function isBrokenPipe(thrown: unknown): boolean {
  return thrown instanceof OutputError && thrown.errno === "EPIPE";
}
