/**
 * Reads a pcap file of vsock packets from chunks of any size: file-format.ts has the layout. Both byte
 * orders and both units of time are read. A file of another link type, and pcapng, the block format that
 * Wireshark writes by default, are refused.
 */
import { VsockboxError } from "../../errors.ts";
import {
  FILE_HEADER_BYTES,
  LINKTYPE_VSOCK,
  MAX_SNAP_BYTES,
  PCAP_MAGIC,
  PCAP_VERSION_MAJOR,
  type PacketRecord,
  type TimeUnit,
  RECORD_HEADER_BYTES,
} from "./file-format.ts";

/** Type of the first block of a pcapng file, a palindrome in both byte orders. */
const PCAPNG_MAGIC = 0x0a0d_0d0a;

/** The upper bits of the link type's field describe frame check sequences. */
const LINKTYPE_MASK = 0x0fff_ffff;

const NANOSECONDS_PER_SECOND = 1_000_000_000;
const NANOSECONDS: Readonly<Record<TimeUnit, number>> = { microseconds: 1000, nanoseconds: 1 };

/** What the header of a file fixes for its records. */
interface FileFormat {
  isLittleEndian: boolean;
  /** The unit of the fractions. */
  unit: TimeUnit;
}

/** Reads one file. */
export class PcapReader {
  readonly #name: string;
  #pending: Uint8Array = new Uint8Array(0);
  #format: FileFormat | undefined;
  /** Offset of {@link #pending} in the file, in bytes. */
  #offset = 0;

  /** @param name the file's, for errors. */
  constructor(name: string) {
    this.#name = name;
  }

  /** The unit of the file's times; undefined before its header has been read. */
  get unit(): TimeUnit | undefined {
    return this.#format?.unit;
  }

  /**
   * Consumes the next chunk.
   *
   * @returns the packets that are complete now.
   * @throws {VsockboxError} BAD_DATA for anything but such a file, naming the offset.
   */
  push(chunk: Uint8Array): PacketRecord[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const records: PacketRecord[] = [];
    const format = (this.#format ??= this.#readFormat());
    if (format === undefined) return records;
    for (;;) {
      const record = this.#readRecord(format);
      if (record === undefined) return records;
      records.push(record);
    }
  }

  /**
   * Ends the file.
   *
   * @throws {VsockboxError} BAD_DATA if it ends within a header or a packet.
   */
  end(): void {
    if (this.#format === undefined) {
      throw this.#bad(
        this.#pending.length === 0 ? "the file is empty" : "the file's header is cut off",
      );
    }
    if (this.#pending.length > 0) {
      throw this.#bad(`the file ends within the packet at offset ${this.#offset}`);
    }
  }

  #consume(bytes: number): void {
    this.#pending = this.#pending.subarray(bytes);
    this.#offset += bytes;
  }

  #readFormat(): FileFormat | undefined {
    // The magic alone decides what a short file of another format is.
    if (this.#pending.length < 4) return undefined;
    const view = viewOf(this.#pending);
    const format = formatOf(view.getUint32(0, true), true) ?? formatOf(view.getUint32(0), false);
    if (format === undefined) throw this.#unknownFormat(view.getUint32(0));
    if (this.#pending.length < FILE_HEADER_BYTES) return undefined;
    const major = view.getUint16(4, format.isLittleEndian);
    if (major !== PCAP_VERSION_MAJOR) throw this.#bad(`version ${major} of the format is unknown`);
    const linkType = view.getUint32(20, format.isLittleEndian) & LINKTYPE_MASK;
    if (linkType !== LINKTYPE_VSOCK) {
      throw this.#bad(`its link type is ${linkType}, not LINKTYPE_VSOCK (${LINKTYPE_VSOCK})`);
    }
    this.#consume(FILE_HEADER_BYTES);
    return format;
  }

  #readRecord({ isLittleEndian, unit }: FileFormat): PacketRecord | undefined {
    if (this.#pending.length < RECORD_HEADER_BYTES) return undefined;
    const view = viewOf(this.#pending);
    const captured = view.getUint32(8, isLittleEndian);
    if (captured > MAX_SNAP_BYTES) {
      throw this.#bad(`the packet at offset ${this.#offset} has ${captured} bytes`);
    }
    const nanoseconds = view.getUint32(4, isLittleEndian) * NANOSECONDS[unit];
    if (nanoseconds >= NANOSECONDS_PER_SECOND) {
      throw this.#bad(`the packet at offset ${this.#offset} has an invalid time`);
    }
    const end = RECORD_HEADER_BYTES + captured;
    if (this.#pending.length < end) return undefined;
    const record = {
      seconds: view.getUint32(0, isLittleEndian),
      nanoseconds,
      bytes: this.#pending.subarray(RECORD_HEADER_BYTES, end),
      length: view.getUint32(12, isLittleEndian),
    };
    this.#consume(end);
    return record;
  }

  #unknownFormat(magic: number): VsockboxError {
    if (magic !== PCAPNG_MAGIC) return this.#bad("not a pcap file");
    return this.#bad(
      "a pcapng file, of which only the classic format is read",
      "convert it with `editcap -F pcap FILE.pcapng FILE.pcap`",
    );
  }

  #bad(message: string, hint?: string): VsockboxError {
    const [code, address] = ["BAD_DATA", this.#name] as const;
    return new VsockboxError({ code, operation: "read capture", address, message, hint });
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function formatOf(magic: number, isLittleEndian: boolean): FileFormat | undefined {
  switch (magic) {
    case PCAP_MAGIC.microseconds:
      return { isLittleEndian, unit: "microseconds" };
    case PCAP_MAGIC.nanoseconds:
      return { isLittleEndian, unit: "nanoseconds" };
    default:
      return undefined;
  }
}
