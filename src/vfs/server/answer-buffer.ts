/**
 * Answers of one connection on their way out. Small ones are joined into one write; data of reads come
 * from the file straight into the buffer, since their head has a fixed size.
 */
import { ptr } from "../../ffi/libc.ts";
import type { SocketStream } from "../../io/stream.ts";
import { MAX_HEAD_BYTES } from "../../protocols/vfs/frame.ts";
import { MAX_IO_BYTES } from "../../protocols/vfs/operations.ts";
import { encodeDataHead, encodeResponse } from "../../protocols/vfs/responses.ts";

/** Answers are sent once there are so many bytes of them. */
const FLUSH_BYTES = 256 * 1024;

const BUFFER_BYTES = FLUSH_BYTES + MAX_IO_BYTES + MAX_HEAD_BYTES;

/** Collects answers and sends them. One task adds to it and awaits {@link flush}. */
export class AnswerBuffer {
  readonly #stream: SocketStream;
  // In memory of the buffer's own: its address must stay valid.
  readonly #bytes = new Uint8Array(new ArrayBuffer(BUFFER_BYTES));
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #address = Number(ptr(this.#bytes));
  #used = 0;
  #large: Uint8Array[] = [];

  constructor(stream: SocketStream) {
    this.#stream = stream;
  }

  /** Whether {@link flush} is due before the next answer. */
  get isFull(): boolean {
    return this.#used >= FLUSH_BYTES || this.#large.length > 0;
  }

  /** Adds a frame. */
  add(frame: Uint8Array): void {
    if (this.#used + frame.length > FLUSH_BYTES) {
      this.#large.push(frame);
      return;
    }
    this.#bytes.set(frame, this.#used);
    this.#used += frame.length;
  }

  /**
   * Adds the answer to a read.
   *
   * @param bytes at most {@link MAX_IO_BYTES}.
   * @param read writes the data at an address; returns their number, or an errno as a negative number.
   */
  addData(id: number, bytes: number, read: (address: number) => number): void {
    const head = encodeDataHead(id, bytes);
    const at = this.#used;
    const dataAt = at + head.length;
    const count = read(this.#address + dataAt);
    if (count <= 0) {
      this.add(encodeResponse(id, { errno: -count }));
      return;
    }
    this.#bytes.set(head, at);
    // Fewer bytes than asked for: the frame's length and that of its last value.
    this.#view.setUint32(at, this.#view.getUint32(at) - bytes + count);
    this.#view.setUint32(dataAt - 4, count);
    this.#used = dataAt + count;
  }

  /**
   * Sends all answers; resolves when the kernel has accepted them.
   *
   * @throws {VsockboxError} TRANSPORT if the connection broke.
   */
  async flush(): Promise<void> {
    if (this.#used > 0) await this.#stream.write(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    if (this.#large.length === 0) return;
    const large = this.#large;
    this.#large = [];
    for (const frame of large) await this.#stream.write(frame);
  }
}
