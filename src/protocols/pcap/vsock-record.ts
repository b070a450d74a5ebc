/**
 * Records of vsock packets as the device writes them: the header of a record (file-format.ts), the
 * headers of vsockmon and virtio (vsockmon.ts), and the beginning of the payload.
 */
import { VIRTIO_VSOCK_HEADER_BYTES } from "../virtio-vsock/packet.ts";
import { MAX_SNAP_BYTES, RECORD_HEADER_BYTES, writeRecordHeader } from "./file-format.ts";
import {
  MONITOR_HEADER_BYTES,
  monitorOpOf,
  MonitorTransport,
  PACKET_BEGIN_BYTES,
} from "./vsockmon.ts";

/** A record without its payload, in bytes. */
export const RECORD_BEGIN_BYTES = RECORD_HEADER_BYTES + PACKET_BEGIN_BYTES;

/** Most bytes of payload that a record can have. */
export const MAX_RECORD_PAYLOAD_BYTES = MAX_SNAP_BYTES - PACKET_BEGIN_BYTES;

/**
 * Bytes of each payload that are kept by default: a protocol's beginning, and no bulk data that
 * fills the disk.
 */
export const DEFAULT_RECORD_PAYLOAD_BYTES = 256;

/** Returns the snapshot length of records with so many bytes of payload at most, in bytes. */
export const snapBytesFor = (payloadBytes: number): number => PACKET_BEGIN_BYTES + payloadBytes;

/** The same addresses stand at the beginning of both headers: two u64 and two u32. */
const ADDRESS_BYTES = 24;

/** Fields of a record besides the packet's header. */
export interface RecordFacts {
  /** When, in milliseconds since 1970, with fractions. */
  time: number;
  /** The packet's op. */
  op: number;
  /** Bytes of payload in the record. */
  captured: number;
  /** Bytes of payload that the packet had. */
  length: number;
}

const recordHeader = { seconds: 0, fraction: 0, captured: 0, length: 0 };

/**
 * Writes a record but for its payload, {@link RECORD_BEGIN_BYTES}: the payload follows it.
 * Allocates nothing.
 *
 * @param header the packet's, as it was on the ring.
 */
export function writeRecordBegin(
  view: DataView,
  offset: number,
  header: Uint8Array,
  { time, op, captured, length }: RecordFacts,
): void {
  const seconds = Math.floor(time / 1000);
  recordHeader.seconds = seconds;
  recordHeader.fraction = Math.floor((time - seconds * 1000) * 1000);
  recordHeader.captured = snapBytesFor(captured);
  recordHeader.length = snapBytesFor(length);
  writeRecordHeader(view, offset, recordHeader);
  const monitor = offset + RECORD_HEADER_BYTES;
  const transport = monitor + MONITOR_HEADER_BYTES;
  for (let index = 0; index < VIRTIO_VSOCK_HEADER_BYTES; index++) {
    const byte = header[index] ?? 0;
    if (index < ADDRESS_BYTES) view.setUint8(monitor + index, byte);
    view.setUint8(transport + index, byte);
  }
  view.setUint16(monitor + 24, monitorOpOf(op), true);
  view.setUint16(monitor + 26, MonitorTransport.Virtio, true);
  view.setUint16(monitor + 28, VIRTIO_VSOCK_HEADER_BYTES, true);
  view.setUint16(monitor + 30, 0, true);
}
