/** Limits the bytes that a peer may make this side write. */
import { VsockboxError } from "../../errors.ts";

/** Counts bytes against a limit. */
export class ReceivedBytes {
  readonly #limit: number;
  #bytes = 0;

  /** @param limit in bytes; undefined: any number. */
  constructor(limit: number | undefined) {
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Checks an announced size before its bytes come.
   *
   * @throws {VsockboxError} IO with EFBIG.
   */
  expect(bytes: number): void {
    if (this.#bytes + bytes <= this.#limit) return;
    throw new VsockboxError({
      code: "IO",
      operation: "receive files",
      message: `they have more than the limit of ${this.#limit} bytes`,
      errno: "EFBIG",
    });
  }

  /**
   * Counts received bytes, holes included.
   *
   * @throws {VsockboxError} IO with EFBIG.
   */
  add(bytes: number): void {
    this.expect(bytes);
    this.#bytes += bytes;
  }
}
