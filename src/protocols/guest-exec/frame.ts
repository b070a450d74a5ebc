/**
 * Persistent mode: each command is a `u16 length` (little-endian) and `length` bytes, 0 to 2,048.
 * Bytes in, commands out; no I/O.
 */
import { badCommand, COMMAND_MAX_BYTES, receivedCommand } from "./command.ts";

/** The u16 length. */
const HEADER_BYTES = 2;

/** A command as it goes over the wire, in one piece: old guests read it with two single calls. */
export function encodeCommandFrame(command: Uint8Array): Uint8Array {
  if (command.length > COMMAND_MAX_BYTES) {
    throw new RangeError(`a command of ${command.length} bytes does not fit into a frame`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + command.length);
  new DataView(bytes.buffer).setUint16(0, command.length, true);
  bytes.set(command, HEADER_BYTES);
  return bytes;
}

/**
 * Splits a byte stream into commands. It accepts chunks of any size with {@link push}; report with
 * {@link finish} that no more will come. It never holds more than one frame.
 */
export class CommandDecoder {
  readonly #frame = new Uint8Array(HEADER_BYTES + COMMAND_MAX_BYTES);
  readonly #view = new DataView(this.#frame.buffer);
  #filled = 0;

  /** Whether the input so far ends at the border of two frames. */
  get atBoundary(): boolean {
    return this.#filled === 0;
  }

  /**
   * Reads the next chunk and returns the commands that it completes, each a copy. Bytes after an invalid
   * frame are ignored; the commands before it are returned.
   *
   * @throws {VsockboxError} BAD_DATA for a length above 2,048 or a NUL inside a command; the decoder
   * is of no use after.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    let rest = chunk;
    while (rest.length > 0) {
      const taken = rest.subarray(0, this.#wanted() - this.#filled);
      this.#frame.set(taken, this.#filled);
      this.#filled += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#filled < this.#wanted()) continue;
      const bytes = this.#frame.slice(HEADER_BYTES, this.#filled);
      this.#filled = 0;
      yield receivedCommand(bytes);
    }
  }

  /**
   * Reports the end of input.
   *
   * @throws {VsockboxError} BAD_DATA if a frame is incomplete, with the number of missing bytes.
   */
  finish(): void {
    if (this.#filled === 0) return;
    const missing = this.#wanted() - this.#filled;
    const part =
      this.#filled < HEADER_BYTES
        ? `the ${HEADER_BYTES} bytes of a length`
        : `a command of ${this.#wanted() - HEADER_BYTES} bytes`;
    throw badCommand(
      `the host closed inside ${part}: ${missing} ${missing === 1 ? "byte is" : "bytes are"} missing; what came of it is not run`,
    );
  }

  /** How many bytes the frame will have, as far as it is known. */
  #wanted(): number {
    if (this.#filled < HEADER_BYTES) return HEADER_BYTES;
    const length = this.#view.getUint16(0, true);
    if (length <= COMMAND_MAX_BYTES) return HEADER_BYTES + length;
    throw badCommand(`a length of ${length}, above the limit of ${COMMAND_MAX_BYTES} bytes`);
  }
}
