/**
 * Captures of vsock packets as Wireshark and tcpdump read them: a classic pcap file with times in
 * microseconds, link type LINKTYPE_VSOCK (271), and packets as Linux's vsockmon device has them:
 * `struct af_vsockmon_hdr`, `struct virtio_vsock_hdr`, payload (linux/vsockmon.h). All numbers are
 * written little-endian.
 */
import { VIRTIO_VSOCK_HEADER_BYTES, Op } from "../virtio-vsock/packet.ts";

/** "tcpdump and libpcap: link-layer header types": LINKTYPE_VSOCK. */
export const LINKTYPE_VSOCK = 271;

/** Times are seconds and microseconds; pcap-savefile(5). */
const MAGIC = 0xa1b2_c3d4;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;

/** Size of the file's header, in bytes; pcap-savefile(5). */
export const FILE_HEADER_BYTES = 24;
/** Size of the header of each packet, in bytes: seconds, microseconds, captured and true length. */
const PACKET_HEADER_BYTES = 16;
/** sizeof(struct af_vsockmon_hdr). */
const MONITOR_HEADER_BYTES = 32;
/** What a packet is in its first part before its payload, in bytes. */
const PACKET_BEGIN_BYTES = MONITOR_HEADER_BYTES + VIRTIO_VSOCK_HEADER_BYTES;

/** Everything that stands in the file for a packet but its payload, in bytes. */
export const RECORD_BEGIN_BYTES = PACKET_HEADER_BYTES + PACKET_BEGIN_BYTES;

/** Largest packet that Wireshark and tcpdump accept, in bytes: MAXIMUM_SNAPLEN of libpcap. */
const MAX_SNAP_BYTES = 262_144;
/** Most bytes of payload that a record can have. */
export const MAX_RECORD_PAYLOAD_BYTES = MAX_SNAP_BYTES - PACKET_BEGIN_BYTES;

/**
 * Bytes of each payload that are kept by default: a protocol's beginning, and no bulk data that
 * fills the disk.
 */
export const DEFAULT_RECORD_PAYLOAD_BYTES = 256;

/** enum af_vsockmon_op. */
const MonitorOp = { Unknown: 0, Connect: 1, Disconnect: 2, Control: 3, Payload: 4 } as const;
/** AF_VSOCK_TRANSPORT_VIRTIO of enum af_vsockmon_transport. */
const TRANSPORT_VIRTIO = 2;

/** The same addresses stand at the beginning of both headers: two u64 and two u32. */
const ADDRESS_BYTES = 24;

/**
 * The file's header.
 *
 * @param payloadBytes so much of each payload is kept at most.
 */
export function encodeFileHeader(payloadBytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, VERSION_MAJOR, true);
  view.setUint16(6, VERSION_MINOR, true);
  view.setUint32(16, PACKET_BEGIN_BYTES + payloadBytes, true);
  view.setUint32(20, LINKTYPE_VSOCK, true);
  return new Uint8Array(view.buffer);
}

function monitorOp(op: number): number {
  switch (op) {
    case Op.Request:
    case Op.Response:
      return MonitorOp.Connect;
    case Op.Rst:
    case Op.Shutdown:
      return MonitorOp.Disconnect;
    case Op.CreditUpdate:
    case Op.CreditRequest:
      return MonitorOp.Control;
    case Op.Rw:
      return MonitorOp.Payload;
    default:
      return MonitorOp.Unknown;
  }
}

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
  view.setUint32(offset, seconds, true);
  view.setUint32(offset + 4, Math.floor((time - seconds * 1000) * 1000), true);
  view.setUint32(offset + 8, PACKET_BEGIN_BYTES + captured, true);
  view.setUint32(offset + 12, PACKET_BEGIN_BYTES + length, true);
  const monitor = offset + PACKET_HEADER_BYTES;
  const transport = monitor + MONITOR_HEADER_BYTES;
  for (let index = 0; index < VIRTIO_VSOCK_HEADER_BYTES; index++) {
    const byte = header[index] ?? 0;
    if (index < ADDRESS_BYTES) view.setUint8(monitor + index, byte);
    view.setUint8(transport + index, byte);
  }
  view.setUint16(monitor + 24, monitorOp(op), true);
  view.setUint16(monitor + 26, TRANSPORT_VIRTIO, true);
  view.setUint16(monitor + 28, VIRTIO_VSOCK_HEADER_BYTES, true);
  view.setUint16(monitor + 30, 0, true);
}
