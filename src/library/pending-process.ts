/**
 * A command that is still being started, with its output read ahead: `exited` settles without a reader
 * while the output is small, as with a command on a channel.
 */
import type { OutputPiece, RemoteExit, RemoteProcess } from "../agent/client/remote-process.ts";
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import { onAbort } from "../io/deadline.ts";
import type { TerminalSize } from "../protocols/agent/messages.ts";

/** Limit of unread output, in bytes: the window of a channel has the same size. */
const READ_AHEAD_BYTES = 2 * 1024 * 1024;

/** A command whose connection is being made. */
export class PendingProcess implements RemoteProcess {
  readonly exited: Promise<RemoteExit>;
  readonly hasBegun = true;
  readonly #leaving = new AbortController();
  readonly #started: Promise<RemoteProcess>;
  readonly #unread: OutputPiece[] = [];
  #unreadBytes = 0;
  #ended: { failure: VsockboxError | undefined } | undefined;
  #changed = Promise.withResolvers<void>();
  /** The last write or end of input: each follows the one before it. */
  #input: Promise<void> = Promise.resolve();

  /**
   * @param start makes the connection and sends the request; its signal fires on {@link leave}.
   * @param closing fires when the command is to be left.
   */
  constructor(start: (signal: AbortSignal) => Promise<RemoteProcess>, closing?: AbortSignal) {
    this.#started = start(this.#leaving.signal);
    this.exited = this.#run();
    this.exited.catch(() => undefined);
    const watch = onAbort(closing, () => this.leave(toVsockboxError(closing?.reason)));
    const forget = () => watch[Symbol.dispose]();
    this.exited.then(forget, forget);
  }

  async #run(): Promise<RemoteExit> {
    try {
      const remote = await this.#started;
      for await (const piece of remote) {
        this.#unread.push(piece);
        this.#unreadBytes += piece.bytes.length;
        this.#notify();
        while (this.#unreadBytes >= READ_AHEAD_BYTES) await this.#changed.promise;
        this.#leaving.signal.throwIfAborted();
      }
      const exit = await remote.exited;
      this.#end(undefined);
      return exit;
    } catch (thrown) {
      const failure = toVsockboxError(thrown, "run command");
      this.#end(failure);
      throw failure;
    }
  }

  #end(failure: VsockboxError | undefined): void {
    this.#ended = { failure };
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputPiece> {
    for (;;) {
      const piece = this.#unread.shift();
      if (piece !== undefined) {
        this.#unreadBytes -= piece.bytes.length;
        this.#notify();
        yield piece;
      } else if (this.#ended === undefined) {
        await this.#changed.promise;
      } else if (this.#ended.failure === undefined) {
        return;
      } else {
        throw this.#ended.failure;
      }
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#afterInput((remote) => remote.write(bytes));
  }

  endInput(): void {
    this.#afterInput(async (remote) => remote.endInput()).catch(() => undefined);
  }

  #afterInput(action: (remote: RemoteProcess) => Promise<void>): Promise<void> {
    const done = this.#input.then(async () => action(await this.#started));
    this.#input = done.catch(() => undefined);
    return done;
  }

  signal(signal: number): void {
    this.#whenStarted((remote) => remote.signal(signal));
  }

  resize(size: TerminalSize): void {
    this.#whenStarted((remote) => remote.resize(size));
  }

  leave(reason: VsockboxError): void {
    this.#leaving.abort(reason);
    this.#unread.length = 0;
    this.#unreadBytes = 0;
    this.#notify();
    this.#whenStarted((remote) => remote.leave(reason));
  }

  async close(): Promise<void> {
    await this.#started.then(
      (remote) => remote.close(),
      () => undefined,
    );
  }

  /** A failed start is reported by `exited`. */
  #whenStarted(action: (remote: RemoteProcess) => void): void {
    this.#started.then(action, () => undefined);
  }
}
