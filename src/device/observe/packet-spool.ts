/**
 * Records of one VM's packets on their way to a file or a reader. The device's thread only copies into
 * memory: one buffer fills while the other is written in the background. Packets that fit into neither
 * are counted as lost.
 */
import {
  RECORD_BEGIN_BYTES,
  type RecordFacts,
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

/** Receives whole records. */
export interface RecordOutput {
  /** Resolves when the bytes are written and may change. */
  append(records: Uint8Array): Promise<void>;
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

/** A tap that runs until {@link end} or a failed write. */
export class PacketSpool implements PacketTap {
  readonly payloadBytes: number;
  readonly #output: RecordOutput;
  readonly #onFailure: (thrown: unknown) => void;
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
   * @param payloadBytes bytes of each payload that are kept.
   * @param onFailure called when a failed write has ended it.
   */
  constructor(output: RecordOutput, payloadBytes: number, onFailure: (thrown: unknown) => void) {
    this.#output = output;
    this.payloadBytes = payloadBytes;
    this.#onFailure = onFailure;
  }

  /** Packets that are written, or about to be. */
  get packets(): number {
    return this.#packets;
  }

  /** Packets that arrived faster than they could be written. */
  get lost(): number {
    return this.#lost;
  }

  /** Bytes that are not written yet. */
  get pendingBytes(): number {
    return this.#filling.filled + (this.#writing ? this.#spare.filled : 0);
  }

  onPacket(
    header: PacketHeader,
    headerBytes: Uint8Array,
    table: MemoryTable,
    pieces: PieceList,
    bytes: number,
  ): void {
    if (this.#isOver) return;
    const captured = Math.min(bytes, pieces.bytes - VIRTIO_VSOCK_HEADER_BYTES, this.payloadBytes);
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
    this.#writing = undefined;
    this.#filling.filled = this.#spare.filled = 0;
    this.#onFailure(thrown);
  }

  /** Writes the remaining packets. */
  async end(): Promise<void> {
    while (!this.#isOver && (this.#writing !== undefined || this.#filling.filled > 0)) {
      this.#flush();
      await this.#writing;
    }
    this.#isOver = true;
  }
}
