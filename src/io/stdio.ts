/** This process's own standard input and output, with backpressure and never blocking the loop. */
import { fstatSync, read, type Stats } from "node:fs";
import { promisify } from "node:util";
import { OutputError, reasonOf, VsockboxError } from "../errors.ts";
import { ERRNO, systemError } from "../ffi/errno.ts";
import { readNow, writeNow } from "../ffi/read-write-now.ts";
import { enlargePipe } from "../ffi/socket.ts";
import { wasClosedAtStart } from "../ffi/standard-streams.ts";
import { borrowBuffer, returnBuffer } from "./buffer-pool.ts";
import { descriptorWatch } from "./descriptor-watch.ts";
import { FairTurns } from "./fair-turns.ts";
import { ReadyDescriptor } from "./ready-descriptor.ts";
import type { ByteSink, LendingSource } from "./pump.ts";

const readAsync = promisify(read);

/** Device number of /dev/null: major 1, minor 3. */
const NULL_DEVICE = 0x103;

/** What is at least so long goes to the kernel without a copy in the runtime, in bytes. */
const DIRECT_WRITE_BYTES = 16 * 1024;

/**
 * Returns standard input as a source. A closed standard input is an empty one.
 *
 * Iterating it throws {VsockboxError} IO while it is read, such as EISDIR for a directory.
 */
export function standardInput(): LendingSource {
  return {
    lend: () => namedInput((mayReuse) => openStandardInput(mayReuse), true),
    [Symbol.asyncIterator]: () => namedInput((mayReuse) => openStandardInput(mayReuse), false),
  };
}

async function* namedInput(
  open: (mayReuse: boolean) => AsyncIterable<Uint8Array>,
  mayReuse: boolean,
): AsyncGenerator<Uint8Array, undefined, undefined> {
  try {
    yield* open(mayReuse);
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
export function requiredStandardInput(): LendingSource {
  if (!wasClosedAtStart(0)) return standardInput();
  throw systemError(ERRNO.EBADF, { operation: "read", address: "standard input", code: "IO" });
}

/** @param mayReuse whether a chunk is used only until the next one is requested. */
function openStandardInput(mayReuse: boolean): AsyncIterable<Uint8Array> {
  try {
    const status = fstatSync(0);
    // The runtime's own stream begins a regular file at its first byte, wherever the descriptor
    // stands: `(read line; vsockbox …) < file` would see the line twice.
    if (status.isFile()) return readFile(0, mayReuse);
    // The runtime waits for input as well, unless the kernel's events are in use anyway.
    if (isPipe(status) && descriptorWatch().usesEvents) return readDirectly(0, mayReuse);
  } catch {
    return nothing();
  }
  return Bun.stdin.stream();
}

function isPipe(status: Stats): boolean {
  return status.isFIFO() || status.isSocket();
}

async function* readDirectly(
  fd: 0,
  mayReuse: boolean,
): AsyncGenerator<Uint8Array, undefined, undefined> {
  const buffer = borrowBuffer();
  const ready = new ReadyDescriptor(fd);
  const turns = new FairTurns();
  enlargePipe(fd);
  try {
    for (;;) {
      const count = readNow(fd, buffer);
      if (count > 0) {
        yield mayReuse ? buffer.subarray(0, count) : buffer.slice(0, count);
        const giveWay = turns.moved(count);
        if (giveWay !== undefined) await giveWay;
      } else if (count === 0) return;
      else if (count === -ERRNO.EAGAIN) {
        turns.waited();
        await ready.readable();
      } else if (isUnsupported(-count)) return yield* Bun.stdin.stream();
      else if (count !== -ERRNO.EINTR) {
        throw systemError(-count, { operation: "read", address: "standard input", code: "IO" });
      }
    }
  } finally {
    ready.close();
    returnBuffer(buffer);
  }
}

/** Whether an error means that the kernel cannot read or write such a descriptor without waiting. */
function isUnsupported(errno: number): boolean {
  return [ERRNO.EOPNOTSUPP, ERRNO.ENOSYS, ERRNO.EINVAL].some(
    (unsupported) => unsupported === errno,
  );
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // No bytes at all.
}

/**
 * Reads a regular file from where its descriptor stands: what is in the page cache at once, anything else
 * in a thread of the runtime.
 */
async function* readFile(fd: 0, mayReuse: boolean): AsyncGenerator<Uint8Array> {
  const buffer = borrowBuffer();
  const turns = new FairTurns();
  try {
    for (;;) {
      let count = readNow(fd, buffer);
      if (count < 0) {
        turns.waited();
        count = await readInThread(fd, buffer);
      }
      if (count === 0) return;
      yield mayReuse ? buffer.subarray(0, count) : buffer.slice(0, count);
      const giveWay = turns.moved(count);
      if (giveWay !== undefined) await giveWay;
    }
  } finally {
    returnBuffer(buffer);
  }
}

async function readInThread(fd: number, buffer: Uint8Array): Promise<number> {
  // The thread reports to the runtime, which has to have its turn.
  using _ = descriptorWatch().yieldToRuntime();
  return (await readAsync(fd, buffer, 0, buffer.length, null)).bytesRead;
}

/** Standard output or standard error as a sink. Several writers may use it at once. */
export class StandardOutput implements ByteSink {
  readonly #fd: 1 | 2;
  readonly #isClosed: boolean;
  #direct: DirectOutput | undefined;
  #sink: Bun.FileSink | undefined;

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    // Closing standard error (2>&-) is a way to suppress messages.
    this.#isClosed = fd === 1 && wasClosedAtStart(1);
    this.#direct = DirectOutput.open(fd);
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
      const rest = this.#direct === undefined ? bytes : await this.#direct.write(bytes);
      if (rest === undefined) return;
      this.#direct = undefined;
      // Opened only if it is used: it sets O_NONBLOCK for all that share a file.
      this.#sink ??= Bun.file(this.#fd).writer({ highWaterMark: DIRECT_WRITE_BYTES });
      using _ = descriptorWatch().yieldToRuntime();
      await this.#sink.write(rest);
      await this.#sink.flush();
    } catch (thrown) {
      throw new OutputError(this.#fd, reasonOf(thrown), thrown);
    }
  }

  /** Nothing to be done: the descriptor is the caller's. */
  async end(): Promise<void> {
    await this.#sink?.flush();
  }
}

/** Writes to a pipe, a socket or /dev/null that other processes share. */
class DirectOutput {
  readonly #fd: number;
  readonly #ready: ReadyDescriptor;
  #queue: Promise<unknown> | undefined;
  #isUnsupported = false;

  private constructor(fd: number) {
    this.#fd = fd;
    this.#ready = new ReadyDescriptor(fd);
  }

  /** Returns undefined for a descriptor of another kind. */
  static open(fd: 1 | 2): DirectOutput | undefined {
    try {
      const status = fstatSync(fd);
      const isNull = status.isCharacterDevice() && status.rdev === NULL_DEVICE;
      if (!isNull && !isPipe(status)) return undefined;
      enlargePipe(fd);
      return new DirectOutput(fd);
    } catch {
      return undefined;
    }
  }

  /** @returns the bytes that have to be written in another way, as all later ones; undefined if none. */
  write(bytes: Uint8Array): undefined | Promise<Uint8Array | undefined> {
    if (this.#queue === undefined) {
      const count = bytes.length === 0 ? 0 : writeNow(this.#fd, bytes);
      if (count === bytes.length) return undefined;
      if (count > 0) return this.#enqueue(bytes.subarray(count));
    }
    return this.#enqueue(bytes);
  }

  async #enqueue(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const mine = (this.#queue ?? Promise.resolve()).then(() => this.#writeAll(bytes));
    const settled = mine.catch(() => undefined);
    this.#queue = settled;
    try {
      return await mine;
    } finally {
      if (this.#queue === settled) this.#queue = undefined;
    }
  }

  async #writeAll(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    for (let rest = bytes; rest.length > 0;) {
      // One that was queued meanwhile must not overtake the rest of another.
      if (this.#isUnsupported) return rest;
      const count = writeNow(this.#fd, rest);
      if (count >= 0) rest = rest.subarray(count);
      else if (count === -ERRNO.EAGAIN) {
        this.#isUnsupported = !descriptorWatch().hasEvents;
        if (!this.#isUnsupported) await this.#ready.writable();
      } else if (isUnsupported(-count)) this.#isUnsupported = true;
      else if (count !== -ERRNO.EINTR) throw systemError(-count, { operation: "write to pipe" });
    }
    return undefined;
  }
}

/** Whether an error means that the reader of our output has closed it, as in `… | head -1`. */
export function isBrokenPipe(thrown: unknown): boolean {
  return thrown instanceof OutputError && thrown.errno === "EPIPE";
}
