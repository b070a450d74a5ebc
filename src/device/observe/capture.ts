/**
 * A capture of one VM's packets to a pcap file. The device's thread only copies into memory: one buffer
 * fills while the other is written in the background. Packets that fit into neither are counted as lost.
 */
import { reasonOf } from "../../errors.ts";
import { CaptureFile } from "../../monitor/capture-file.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  RECORD_BEGIN_BYTES,
  type RecordFacts,
  snapBytesFor,
  writeRecordBegin,
} from "../../protocols/pcap/vsock-record.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  type PacketHeader,
} from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable, PieceList } from "../vhost-user/memory-table.ts";
import type { PacketTap } from "../vsock/packet-tap.ts";

/** Size of each of the two buffers, in bytes. */
const BUFFER_BYTES = 2 * 1024 * 1024;

/** How long packets stay in memory, in milliseconds; plus a round of the event loop. */
const FLUSH_MS = 100;

/** Options of {@link Capture}. */
export interface CaptureOptions {
  file: string;
  /** Bytes of each payload that are stored; {@link DEFAULT_RECORD_PAYLOAD_BYTES} by default. */
  payloadBytes?: number | undefined;
  /** Replaces an existing file. */
  force?: boolean | undefined;
}

/** The state of a capture. */
export interface CaptureFacts {
  file: string;
  payload_bytes: number;
  packets: number;
  /** In the file, or about to be written. */
  bytes: number;
  /** Packets that arrived faster than they could be written. */
  packets_lost: number;
}

interface Buffer {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  filled: number;
}

function newBuffer(): Buffer {
  const bytes = new Uint8Array(new ArrayBuffer(BUFFER_BYTES));
  return { bytes, view: new DataView(bytes.buffer), filled: 0 };
}

/** A capture, which runs until {@link end} or a failed write. */
export class Capture implements PacketTap {
  readonly file: string;
  readonly #payloadBytes: number;
  readonly #output: CaptureFile;
  readonly #onFailure: (message: string) => void;
  /** Added to performance.now(), the milliseconds since 1970. */
  readonly #epoch = Date.now() - performance.now();
  #filling = newBuffer();
  #spare = newBuffer();
  readonly #record: RecordFacts = { time: 0, op: 0, captured: 0, length: 0 };
  #packets = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;
  #lastFlush = 0;
  #isOver = false;

  /**
   * Creates the file, with mode 0600.
   *
   * @param onFailure called with a message when a failed write has ended the capture.
   * @throws {VsockboxError} CANNOT_CREATE: the file exists, or cannot be created.
   */
  constructor(options: CaptureOptions, onFailure: (message: string) => void) {
    this.file = options.file;
    this.#payloadBytes = options.payloadBytes ?? DEFAULT_RECORD_PAYLOAD_BYTES;
    this.#onFailure = onFailure;
    const snapBytes = snapBytesFor(this.#payloadBytes);
    this.#output = new CaptureFile(options.file, snapBytes, options.force === true);
  }

  /** The capture's state, for status and metrics. */
  get facts(): CaptureFacts {
    return {
      file: this.file,
      payload_bytes: this.#payloadBytes,
      packets: this.#packets,
      bytes:
        this.#output.writtenBytes + this.#filling.filled + (this.#writing ? this.#spare.filled : 0),
      packets_lost: this.#lost,
    };
  }

  onPacket(
    header: PacketHeader,
    headerBytes: Uint8Array,
    table: MemoryTable,
    pieces: PieceList,
    bytes: number,
  ): void {
    if (this.#isOver) return;
    const captured = Math.min(bytes, pieces.bytes - VIRTIO_VSOCK_HEADER_BYTES, this.#payloadBytes);
    const size = RECORD_BEGIN_BYTES + captured;
    if (this.#filling.filled + size > BUFFER_BYTES) this.#flush();
    const { bytes: target, view, filled } = this.#filling;
    if (filled + size > BUFFER_BYTES) {
      this.#lost++;
      return;
    }
    const record = this.#record;
    record.time = this.#epoch + performance.now();
    record.op = header.op;
    record.captured = captured;
    record.length = bytes;
    writeRecordBegin(view, filled, headerBytes, record);
    if (captured > 0) {
      table.read(
        pieces,
        VIRTIO_VSOCK_HEADER_BYTES,
        target.subarray(filled + RECORD_BEGIN_BYTES, filled + size),
      );
    }
    this.#filling.filled = filled + size;
    this.#packets++;
  }

  onTime(now: number): void {
    if (this.#filling.filled > 0 && now - this.#lastFlush >= FLUSH_MS) this.#flush();
  }

  /** Starts to write the filled buffer, unless the other one is still being written. */
  #flush(): void {
    if (this.#writing !== undefined || this.#isOver) return;
    this.#lastFlush = performance.now();
    const full = this.#filling;
    this.#filling = this.#spare;
    this.#spare = full;
    this.#writing = this.#write(full).then(
      () => {
        this.#writing = undefined;
      },
      (thrown: unknown) => this.#fail(thrown),
    );
  }

  async #write(buffer: Buffer): Promise<void> {
    await this.#output.append(buffer.bytes.subarray(0, buffer.filled));
    buffer.filled = 0;
  }

  #fail(thrown: unknown): void {
    this.#isOver = true;
    const { errno, message } = reasonOf(thrown);
    this.#writing = undefined;
    this.#filling.filled = this.#spare.filled = 0;
    const reason =
      errno === undefined || message.includes(errno) ? message : `${message} (${errno})`;
    this.#onFailure(`the capture to ${this.file} has ended: ${reason}`);
  }

  /** Writes the remaining packets, and closes the file. */
  async end(): Promise<CaptureFacts> {
    while (!this.#isOver && (this.#writing !== undefined || this.#filling.filled > 0)) {
      this.#flush();
      await this.#writing;
    }
    if (!this.#isOver) {
      this.#isOver = true;
      this.#output.close();
    }
    return this.facts;
  }
}
