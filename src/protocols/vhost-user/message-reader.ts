/** Splits the bytes of a VMM into messages; no I/O. */
import { VsockboxError } from "../../errors.ts";
import {
  badVhostUserMessage,
  VHOST_USER_HEADER_BYTES,
  HeaderFlag,
  KNOWN_FLAGS,
  MAX_DESCRIPTORS,
  MAX_PAYLOAD_BYTES,
  type VhostMessage,
} from "./wire.ts";

/** Cuts what comes from a VMM into messages, and keeps descriptors with theirs. */
export class VhostUserMessageReader {
  readonly #header = new Uint8Array(VHOST_USER_HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  #payload = new Uint8Array(0);
  #payloadFilled = 0;
  #fds: number[] = [];

  /**
   * How many bytes to ask the socket for: the rest of the header, or of the payload. The kernel returns
   * descriptors with the bytes that they were sent with, but it may put bytes of earlier messages in
   * front of these: who reads no more than this always has a message's own descriptors.
   */
  get wanted(): number {
    const missing = VHOST_USER_HEADER_BYTES - this.#headerFilled;
    return missing > 0 ? missing : this.#payload.length - this.#payloadFilled;
  }

  /** Whether the input so far ends at the border of two messages. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0 && this.#fds.length === 0;
  }

  /**
   * Reads the next bytes, at most {@link wanted}, and the descriptors that came with them.
   *
   * @returns the message that they complete, if they do.
   * @throws {VsockboxError} BAD_DATA; the reader is of no use after, but for
   * {@link takeDescriptors}.
   */
  push(bytes: Uint8Array, fds: readonly number[] = []): VhostMessage | undefined {
    this.#fds.push(...fds);
    if (this.#fds.length > MAX_DESCRIPTORS) {
      throw badVhostUserMessage(this.#request, `more than ${MAX_DESCRIPTORS} descriptors`);
    }
    if (bytes.length > this.wanted) {
      throw new VsockboxError({
        code: "SOFTWARE",
        operation: "read vhost-user message",
        message: `${bytes.length} bytes were passed, ${this.wanted} are expected`,
      });
    }
    if (this.#headerFilled < VHOST_USER_HEADER_BYTES) {
      this.#header.set(bytes, this.#headerFilled);
      this.#headerFilled += bytes.length;
      if (this.#headerFilled < VHOST_USER_HEADER_BYTES) return undefined;
      this.#onHeader();
    } else {
      this.#payload.set(bytes, this.#payloadFilled);
      this.#payloadFilled += bytes.length;
    }
    return this.#payloadFilled === this.#payload.length ? this.#complete() : undefined;
  }

  /**
   * Returns the descriptors that belong to no returned message, to be closed when the VMM has disconnected or sent
   * something bad. They are the caller's from now on.
   */
  takeDescriptors(): number[] {
    const fds = this.#fds;
    this.#fds = [];
    return fds;
  }

  get #request(): number {
    return this.#headerView.getUint32(0, true);
  }

  #onHeader(): void {
    const flags = this.#headerView.getUint32(4, true);
    const size = this.#headerView.getUint32(8, true);
    if ((flags & HeaderFlag.VersionMask) !== HeaderFlag.Version) {
      const version = flags & HeaderFlag.VersionMask;
      throw badVhostUserMessage(this.#request, `version ${version}, expected 1`);
    }
    if ((flags & HeaderFlag.Reply) !== 0)
      throw badVhostUserMessage(this.#request, "a reply to nothing");
    if ((flags & ~KNOWN_FLAGS) !== 0) throw badVhostUserMessage(this.#request, "unknown flags");
    if (size > MAX_PAYLOAD_BYTES) {
      throw badVhostUserMessage(
        this.#request,
        `a payload of ${size} bytes is above ${MAX_PAYLOAD_BYTES}`,
      );
    }
    this.#payload = new Uint8Array(size);
    this.#payloadFilled = 0;
  }

  #complete(): VhostMessage {
    const message = {
      request: this.#request,
      flags: this.#headerView.getUint32(4, true),
      payload: this.#payload,
      fds: this.takeDescriptors(),
    };
    this.#headerFilled = 0;
    this.#payload = new Uint8Array(0);
    this.#payloadFilled = 0;
    return message;
  }
}
