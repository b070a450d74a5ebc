/**
 * The input of a command's terminal, which the command may not read.
 *
 * The line discipline acts on Ctrl-C when it processes that byte, and it processes none once a
 * program leaves so much unread that its buffer of 4,095 bytes is full (n_tty(4) and Linux's
 * drivers/tty/n_tty.c): the byte waits after a paste for ever. So input is queued here, and read on
 * while the terminal accepts none. If a character that is a signal for this terminal comes in while
 * older input waits, that input is discarded, as the line discipline itself does at such a
 * character, and then the character is typed.
 */
import { discardInput, hasUnreadInput } from "../ffi/pty.ts";
import { getTermios, type Termios } from "../ffi/termios.ts";
import { PipeWriter } from "../io/pipe.ts";

/** Most input that is queued, in bytes; above it the sender is held up. */
const QUEUE_BYTES = 1024 * 1024;

/** Input goes to the terminal in pieces of this size, which it can hold as a whole, in bytes. */
const PIECE_BYTES = 2048;

/** The kernel processes input in the background; the interval of polling, in milliseconds. */
const DISCARD_INTERVAL_MS = 2;

/** Discarding ends when nothing was unread so many times in a row. */
const DISCARD_QUIET_COUNT = 3;

/** Limit of discarding: a program that writes to its own input never ends. */
const DISCARD_MAX_COUNT = 250;

/** Indexes of c_cc and bits of c_lflag, asm-generic/termbits.h. */
const [VINTR, VQUIT, VSUSP] = [0, 1, 10];
const ISIG = 0o1;
const NOFLSH = 0o200;

/**
 * The index of the last byte at which the terminal sends a signal and discards older input; -1 if
 * there is none.
 */
export function lastDiscardingIndex(
  bytes: Uint8Array,
  { local, characters }: Pick<Termios, "local" | "characters">,
): number {
  if ((local & ISIG) === 0 || (local & NOFLSH) !== 0) return -1;
  const signals = new Set([VINTR, VQUIT, VSUSP].map((index) => characters[index] ?? 0));
  // _POSIX_VDISABLE.
  signals.delete(0);
  return bytes.findLastIndex((byte) => signals.has(byte));
}

/** The input of a terminal. Owns the master's descriptor. */
export class TerminalInput {
  readonly #master: number;
  readonly #path: string;
  readonly #writer: PipeWriter;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isRunning = false;
  #discarding: Promise<void> | undefined;
  #space = Promise.withResolvers<void>();
  #failure: unknown;
  #closed = false;

  /** @param path of the terminal's other end, as in /dev/pts/3. */
  constructor(master: number, path: string) {
    this.#master = master;
    this.#path = path;
    this.#writer = new PipeWriter(master);
  }

  /**
   * Types bytes; resolves when more can be queued.
   *
   * @throws {VsockboxError} IO if the terminal is closed or hung up.
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) return this.#writer.write(bytes);
    const index = this.#signalIndex(bytes);
    if (index >= 0) this.#discard();
    this.#push(index >= 0 ? bytes.subarray(index) : bytes);
    while (this.#queuedBytes > QUEUE_BYTES) await this.#space.promise;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Offset before which input is discarded; -1: none. */
  #signalIndex(bytes: Uint8Array): number {
    const settings = getTermios(this.#master);
    const index = settings === undefined ? -1 : lastDiscardingIndex(bytes, settings);
    if (index < 0) return -1;
    // Without older input the line discipline reaches the character itself, unless more is before it
    // than it can hold.
    const waits = this.#queuedBytes > 0 || index >= PIECE_BYTES || hasUnreadInput(this.#path);
    return waits ? index : -1;
  }

  #push(bytes: Uint8Array): void {
    // A copy: the sender's buffer is often a small part of a large one.
    for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
      this.#queue.push(bytes.slice(offset, offset + PIECE_BYTES));
    }
    this.#queuedBytes += bytes.length;
    if (!this.#isRunning) void this.#run();
  }

  /** Writes the queued input. Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      for (;;) {
        if (this.#discarding !== undefined) await this.#discarding;
        const piece = this.#queue.shift();
        if (piece === undefined) break;
        await this.#writer.write(piece);
        this.#queuedBytes = Math.max(0, this.#queuedBytes - piece.length);
        this.#wake();
      }
    } catch (thrown) {
      this.#failure = thrown;
      this.#queue = [];
      this.#queuedBytes = 0;
      this.#wake();
    } finally {
      this.#isRunning = false;
    }
  }

  /** Discards the input queued here and in the terminal, then resumes the writer. */
  #discard(): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#wake();
    this.#discarding ??= this.#discardUnread().finally(() => {
      this.#discarding = undefined;
    });
  }

  async #discardUnread(): Promise<void> {
    let quiet = 0;
    for (let count = 0; count < DISCARD_MAX_COUNT && quiet < DISCARD_QUIET_COUNT; count++) {
      if (this.#closed) return;
      quiet = hasUnreadInput(this.#path) ? 0 : quiet + 1;
      discardInput(this.#path);
      await Bun.sleep(DISCARD_INTERVAL_MS);
    }
  }

  #wake(): void {
    const { resolve } = this.#space;
    this.#space = Promise.withResolvers();
    resolve();
  }

  /** Closes the master at once; queued input is dropped. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#writer.close();
    this.#wake();
  }
}
