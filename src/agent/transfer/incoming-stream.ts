/** Receives one file of a peer as a stream of bytes, without writing it. */
import { VsockboxError } from "../../errors.ts";
import { decodeTreeRecord, type TreeRecord } from "../../protocols/agent/tree-records.ts";
import type { ChannelItem } from "../channel/channel.ts";
import { ReceivedBytes } from "./receive-limit.ts";
import { FILE_STREAM } from "./transfer.ts";

/** Pieces of a hole; consumers must not change them. */
const ZEROS = new Uint8Array(256 * 1024);

/** Checks that a transfer is one file with its announced number of bytes. */
export class IncomingStream {
  readonly #limit: ReceivedBytes;
  #state: "before" | "inside" | "ended" = "before";
  #size: number | undefined;
  #bytes = 0;
  readonly #hash: Bun.CryptoHasher | undefined;

  /**
   * @param maxBytes limit of the file's size, holes included; undefined: none.
   * @param checksum whether the sender sends a sha256, which is compared.
   */
  constructor(maxBytes: number | undefined, checksum: boolean) {
    this.#limit = new ReceivedBytes(maxBytes);
    if (checksum) this.#hash = new Bun.CryptoHasher("sha256");
  }

  /**
   * Returns the bytes of the file that an item contains or, for a hole, represents, in pieces.
   *
   * @throws {VsockboxError} BAD_DATA, IO with EFBIG, or the sender's error.
   */
  *accept(item: ChannelItem): Generator<Uint8Array> {
    if (item.kind === "data") {
      if (item.stream !== FILE_STREAM) throw bad(`unexpected bytes on stream ${item.stream}`);
      this.#count(item.bytes.length);
      this.#hash?.update(item.bytes);
      yield item.bytes;
      return;
    }
    for (let left = this.#onRecord(decodeTreeRecord(item.value)); left > 0; left -= ZEROS.length) {
      const zeros = left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
      this.#hash?.update(zeros);
      yield zeros;
    }
  }

  /** Returns the number of zeros that a record represents. */
  #onRecord(record: TreeRecord): number {
    switch (record.kind) {
      case "file":
        if (this.#state !== "before") throw bad("unexpected second file");
        this.#state = "inside";
        this.#size = record.size;
        this.#limit.expect(record.size ?? 0);
        return 0;
      case "hole":
        // A record of a few bytes may announce any number of zeros: only an announced size limits it.
        if (this.#size === undefined) throw bad("a hole in a file of unknown size");
        this.#count(record.bytes);
        return record.bytes;
      case "end":
        if (record.error !== undefined) throw failed(record.error);
        this.#end(record.sha256);
        return 0;
      case "skipped":
        throw failed(record.error);
      default:
        throw bad(`unexpected ${record.kind} record`);
    }
  }

  #count(bytes: number): void {
    if (this.#state !== "inside") throw bad("bytes outside of the file");
    this.#bytes += bytes;
    if (this.#size !== undefined && this.#bytes > this.#size) {
      throw bad(`it has more than its ${this.#size} bytes`);
    }
    this.#limit.add(bytes);
  }

  #end(sha256: string | undefined): void {
    if (this.#state !== "inside") throw bad("an end outside of the file");
    if (this.#size !== undefined && this.#bytes !== this.#size) {
      throw bad(`only ${this.#bytes} of ${this.#size} bytes were received`);
    }
    if (this.#hash !== undefined && this.#hash.digest("hex") !== sha256) {
      throw bad("the sha256 of the received bytes differs from the sender's");
    }
    this.#state = "ended";
  }

  /** @throws {VsockboxError} BAD_DATA if the end of the file has not come. */
  assertEnded(): void {
    if (this.#state !== "ended") throw bad("it ended too early");
  }
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read file", message });
}

function failed(message: string): VsockboxError {
  return new VsockboxError({ code: "IO", operation: "read", message });
}
