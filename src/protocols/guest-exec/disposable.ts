/**
 * Disposable mode: one command without a frame. It ends when the host closes, or
 * after a pause without input, which the caller detects.
 */
import { badCommand, COMMAND_MAX_BYTES, receivedCommand } from "./command.ts";

/** Collects the one command of a connection; never holds more than 2,048 bytes. */
export class DisposableReader {
  readonly #bytes = new Uint8Array(COMMAND_MAX_BYTES);
  #filled = 0;

  /** Whether no byte has come yet. */
  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /**
   * Reads the next chunk.
   *
   * @throws {VsockboxError} BAD_DATA if there are more bytes than a command can have: its beginning
   * alone must not be run.
   */
  push(chunk: Uint8Array): void {
    const bytes = this.#filled + chunk.length;
    if (bytes > COMMAND_MAX_BYTES) {
      throw badCommand(
        `a command of at least ${bytes} bytes, above the limit of ${COMMAND_MAX_BYTES}; it is not run`,
      );
    }
    this.#bytes.set(chunk, this.#filled);
    this.#filled = bytes;
  }

  /**
   * The command, once the host has closed or has been silent for long enough.
   *
   * @throws {VsockboxError} BAD_DATA if nothing was sent, or for a NUL inside the command.
   */
  finish(): Uint8Array {
    if (this.isEmpty) throw badCommand("the host closed the connection without sending a command");
    return receivedCommand(this.#bytes.slice(0, this.#filled));
  }
}
