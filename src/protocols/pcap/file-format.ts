/**
 * The classic pcap file; pcap-savefile(5).
 *
 * A file is a header of 24 bytes and records: a header of 16 bytes each, then as many bytes of the packet
 * as were captured.
 *
 * | header of the file | bytes | |
 * | --- | --- | --- |
 * | magic | 4 | shows the byte order of all numbers, and whether times have microseconds or nanoseconds |
 * | version | 2 + 2 | 2.4 |
 * | reserved | 4 + 4 | |
 * | snapshot length | 4 | the most bytes that a record has of its packet |
 * | link type | 4 | in the lower 28 bits |
 *
 * | header of a record | bytes | |
 * | --- | --- | --- |
 * | time | 4 + 4 | seconds since 1970, and the fraction |
 * | captured length | 4 | bytes in this record |
 * | original length | 4 | bytes of the packet |
 */

/** "tcpdump and libpcap: link-layer header types": LINKTYPE_VSOCK. */
export const LINKTYPE_VSOCK = 271;

/** The first number of a file, by the unit of the fractions of its times. */
export const PCAP_MAGIC = { microseconds: 0xa1b2_c3d4, nanoseconds: 0xa1b2_3c4d } as const;

/** The unit of the fractions of times in a file. */
export type TimeUnit = keyof typeof PCAP_MAGIC;

/** The major version of the format. */
export const PCAP_VERSION_MAJOR = 2;
const PCAP_VERSION_MINOR = 4;

/** Size of the file's header, in bytes. */
export const FILE_HEADER_BYTES = 24;
/** Size of the header of each record, in bytes. */
export const RECORD_HEADER_BYTES = 16;

/** Largest packet that Wireshark and tcpdump accept, in bytes: MAXIMUM_SNAPLEN of libpcap. */
export const MAX_SNAP_BYTES = 262_144;

/** A packet of a capture. */
export interface PacketRecord {
  /** Since 1970. */
  seconds: number;
  /** Of the second. */
  nanoseconds: number;
  /** The captured part of the packet. */
  bytes: Uint8Array;
  /** Bytes of the whole packet. */
  length: number;
}

/**
 * Returns the header of a file: little-endian, LINKTYPE_VSOCK.
 *
 * @param snapBytes the most bytes of a packet that a record has.
 * @param unit of the times of its records.
 */
export function encodeFileHeader(
  snapBytes: number,
  unit: TimeUnit = "microseconds",
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, PCAP_MAGIC[unit], true);
  view.setUint16(4, PCAP_VERSION_MAJOR, true);
  view.setUint16(6, PCAP_VERSION_MINOR, true);
  view.setUint32(16, snapBytes, true);
  view.setUint32(20, LINKTYPE_VSOCK, true);
  return bytes;
}

/** The fields of a record's header. */
export interface RecordHeader {
  seconds: number;
  /** Of the second, in the unit of the file. */
  fraction: number;
  /** Bytes of the packet in the record. */
  captured: number;
  /** Bytes of the whole packet. */
  length: number;
}

/** Writes the header of a record, {@link RECORD_HEADER_BYTES}, little-endian. Allocates nothing. */
export function writeRecordHeader(view: DataView, offset: number, header: RecordHeader): void {
  view.setUint32(offset, header.seconds, true);
  view.setUint32(offset + 4, header.fraction, true);
  view.setUint32(offset + 8, header.captured, true);
  view.setUint32(offset + 12, header.length, true);
}

/**
 * Returns records as they stand in a file with the header of {@link encodeFileHeader}.
 *
 * @param snapBytes longer packets are cut.
 * @param unit of the times, as in the header; what is below it is cut off.
 */
export function encodeRecords(
  records: readonly PacketRecord[],
  snapBytes: number,
  unit: TimeUnit = "microseconds",
): Uint8Array<ArrayBuffer> {
  const kept = records.map(({ bytes }) => Math.min(bytes.length, snapBytes));
  const size = kept.reduce((sum, captured) => sum + RECORD_HEADER_BYTES + captured, 0);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  let offset = 0;
  for (const [index, { seconds, nanoseconds, bytes, length }] of records.entries()) {
    const captured = kept[index] ?? 0;
    const fraction = unit === "nanoseconds" ? nanoseconds : Math.floor(nanoseconds / 1000);
    writeRecordHeader(view, offset, { seconds, fraction, captured, length });
    file.set(bytes.subarray(0, captured), offset + RECORD_HEADER_BYTES);
    offset += RECORD_HEADER_BYTES + captured;
  }
  return file;
}
