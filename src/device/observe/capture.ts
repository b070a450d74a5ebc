/**
 * A capture of one VM's packets into a pcap file. The device's thread only copies into memory: one
 * buffer fills while the other one is written in the background, and packets for which neither has
 * room are counted as lost.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncate,
  ftruncateSync,
  openSync,
  write,
  writeSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../../errors.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  encodeFileHeader,
  RECORD_BEGIN_BYTES,
  type RecordFacts,
  writeRecordBegin,
} from "../../protocols/pcap/vsock-record.ts";
import { HEADER_BYTES, type PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable, PieceList } from "../vhost-user/memory-table.ts";
import type { PacketTap } from "../vsock/packet-tap.ts";

/** Each of the two buffers, in bytes. */
const BUFFER_BYTES = 2 * 1024 * 1024;

/** What is captured stands in the file after so long, in milliseconds, and the loop's next round. */
const FLUSH_MS = 100;

/** What a capture is made of. */
export interface CaptureOptions {
  file: string;
  /** Bytes of each payload that are kept: {@link DEFAULT_RECORD_PAYLOAD_BYTES}. */
  payloadBytes?: number | undefined;
  /** An existing file is replaced. */
  force?: boolean | undefined;
}

/** What a capture has done so far. */
export interface CaptureFacts {
  file: string;
  payload_bytes: number;
  packets: number;
  /** In the file, or about to be. */
  bytes: number;
  /** Packets that came faster than they could be written. */
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

/** A capture that runs until it is ended, or its disk is full. */
export class Capture implements PacketTap {
  readonly file: string;
  readonly #payloadBytes: number;
  readonly #fd: number;
  readonly #onFailure: (message: string) => void;
  /** From performance.now() to milliseconds since 1970. */
  readonly #epoch = Date.now() - performance.now();
  #filling = newBuffer();
  #spare = newBuffer();
  readonly #record: RecordFacts = { time: 0, op: 0, captured: 0, length: 0 };
  #packets = 0;
  #lost = 0;
  /** Bytes in the file, all of them whole packets. */
  #written: number;
  #writing: Promise<void> | undefined;
  #lastFlush = 0;
  #isOver = false;

  /**
   * Makes the file, with mode 0600.
   *
   * @param onFailure told, with the reason, when the capture has ended by itself.
   * @throws {VsockboxError} CANNOT_CREATE: it exists, or cannot be made.
   */
  constructor(options: CaptureOptions, onFailure: (message: string) => void) {
    this.file = options.file;
    this.#payloadBytes = options.payloadBytes ?? DEFAULT_RECORD_PAYLOAD_BYTES;
    this.#onFailure = onFailure;
    const header = encodeFileHeader(this.#payloadBytes);
    this.#fd = openFile(options.file, options.force === true);
    try {
      // Nothing else has been written: it is there as a whole, or the disk is full already.
      writeSync(this.#fd, header);
    } catch (thrown) {
      closeSync(this.#fd);
      throw cannotCreate(options.file, thrown);
    }
    this.#written = header.length;
  }

  /** For status and metrics. */
  get facts(): CaptureFacts {
    return {
      file: this.file,
      payload_bytes: this.#payloadBytes,
      packets: this.#packets,
      bytes: this.#written + this.#filling.filled + (this.#writing ? this.#spare.filled : 0),
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
    const captured = Math.min(bytes, pieces.bytes - HEADER_BYTES, this.#payloadBytes);
    const size = RECORD_BEGIN_BYTES + captured;
    if (this.#filling.filled + size > BUFFER_BYTES) this.#flush();
    const { bytes: room, view, filled } = this.#filling;
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
      table.read(pieces, HEADER_BYTES, room.subarray(filled + RECORD_BEGIN_BYTES, filled + size));
    }
    this.#filling.filled = filled + size;
    this.#packets++;
  }

  onTime(now: number): void {
    if (this.#filling.filled > 0 && now - this.#lastFlush >= FLUSH_MS) this.#flush();
  }

  /** Begins to write what is there, unless the buffer before it is still on its way. */
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
    for (let at = 0; at < buffer.filled;) at += await writePart(this.#fd, buffer, at);
    this.#written += buffer.filled;
    buffer.filled = 0;
  }

  async #fail(thrown: unknown): Promise<void> {
    this.#isOver = true;
    const { errno, message } = reasonOf(thrown);
    // Half a packet at the end would make readers complain.
    await new Promise((resolve) => ftruncate(this.#fd, this.#written, resolve));
    closeSync(this.#fd);
    this.#writing = undefined;
    this.#filling.filled = this.#spare.filled = 0;
    const reason =
      errno === undefined || message.includes(errno) ? message : `${message} (${errno})`;
    this.#onFailure(`the capture to ${this.file} has ended: ${reason}`);
  }

  /** Writes what is left, and closes the file. */
  async end(): Promise<CaptureFacts> {
    while (!this.#isOver && (this.#writing !== undefined || this.#filling.filled > 0)) {
      this.#flush();
      await this.#writing;
    }
    if (!this.#isOver) {
      this.#isOver = true;
      closeSync(this.#fd);
    }
    return this.facts;
  }
}

function writePart(fd: number, buffer: Buffer, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, buffer.bytes, at, buffer.filled - at, null, (error, count) => {
      if (error === null || error === undefined) resolve(count);
      else reject(error);
    });
  });
}

/** A link is not followed, and what is no file is not written to: neither was meant. */
function openFile(file: string, force: boolean): number {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    fd = openSync(file, force ? flags : flags | O_EXCL, 0o600);
  } catch (thrown) {
    throw cannotCreate(file, thrown);
  }
  try {
    if (!fstatSync(fd).isFile()) {
      throw new VsockboxError({
        code: "CANNOT_CREATE",
        operation: "capture to",
        address: file,
        message: "it is no regular file",
      });
    }
    ftruncateSync(fd, 0);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw cannotCreate(file, thrown);
  }
}

function cannotCreate(file: string, thrown: unknown): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  const exists = errno === "EEXIST";
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "capture to",
    address: file,
    message: exists ? "the file exists" : message,
    errno,
    hint: exists ? "choose another name, or replace it with --force" : undefined,
    cause: thrown,
  });
}
