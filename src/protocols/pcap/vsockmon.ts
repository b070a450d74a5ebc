/**
 * The packets of Linux's vsockmon link, and of captures with LINKTYPE_VSOCK: `struct af_vsockmon_hdr`
 * (linux/vsockmon.h), 32 bytes, then the header of the transport, then the payload. All numbers are
 * little-endian.
 *
 * | offset | bytes | |
 * | --- | --- | --- |
 * | 0, 8 | 8 + 8 | CIDs of source and destination |
 * | 16, 20 | 4 + 4 | ports of source and destination |
 * | 24 | 2 | {@link MonitorOp} |
 * | 26 | 2 | {@link MonitorTransport} |
 * | 28 | 2 | length of the transport's header |
 * | 30 | 2 | reserved |
 *
 * The only transport with a header so far is virtio: `struct virtio_vsock_hdr`, virtio-vsock/packet.ts.
 */
import { Op, opOf, VIRTIO_VSOCK_HEADER_BYTES } from "../virtio-vsock/packet.ts";

/** sizeof(struct af_vsockmon_hdr). */
export const MONITOR_HEADER_BYTES = 32;

/** A packet's part before its payload with virtio, in bytes. */
export const PACKET_BEGIN_BYTES = MONITOR_HEADER_BYTES + VIRTIO_VSOCK_HEADER_BYTES;

/** enum af_vsockmon_op. */
export const MonitorOp = { Unknown: 0, Connect: 1, Disconnect: 2, Control: 3, Payload: 4 } as const;

/** One of {@link MonitorOp}. */
export type MonitorOp = (typeof MonitorOp)[keyof typeof MonitorOp];

/** enum af_vsockmon_transport. */
export const MonitorTransport = { Unknown: 0, NoInfo: 1, Virtio: 2 } as const;

/** Returns the {@link MonitorOp} of a header's op field, as Linux has it. */
export function monitorOpOf(op: number): MonitorOp {
  switch (opOf(op)) {
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
    case Op.Invalid:
      return MonitorOp.Unknown;
  }
}

/** The fields of a virtio header without the addresses. */
export interface VirtioFields {
  /** Bytes of payload. */
  len: number;
  type: number;
  op: number;
  flags: number;
  bufAlloc: number;
  fwdCnt: number;
}

/** A packet of a vsockmon link. */
export interface VsockPacket {
  /** A bigint beyond 2^32, as no valid address has it. */
  srcCid: number | bigint;
  dstCid: number | bigint;
  srcPort: number;
  dstPort: number;
  /** Usually one of {@link MonitorOp}. */
  monitorOp: number;
  /** Usually one of {@link MonitorTransport}. */
  transport: number;
  /** Undefined for another transport, and if the capture has cut it off. */
  virtio: VirtioFields | undefined;
  /** The captured part of the payload. */
  payload: Uint8Array;
  /** Bytes of the whole payload. */
  payloadBytes: number;
}

/**
 * Decodes a packet.
 *
 * @param bytes the captured part, which the result refers to.
 * @param length bytes of the whole packet.
 * @returns undefined if the part is shorter than the first header.
 */
export function decodeVsockmon(bytes: Uint8Array, length: number): VsockPacket | undefined {
  if (bytes.length < MONITOR_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const transport = view.getUint16(26, true);
  const begin = MONITOR_HEADER_BYTES + view.getUint16(28, true);
  const hasVirtio =
    transport === MonitorTransport.Virtio &&
    begin >= PACKET_BEGIN_BYTES &&
    bytes.length >= PACKET_BEGIN_BYTES;
  return {
    srcCid: cidAt(view, 0),
    dstCid: cidAt(view, 8),
    srcPort: view.getUint32(16, true),
    dstPort: view.getUint32(20, true),
    monitorOp: view.getUint16(24, true),
    transport,
    virtio: hasVirtio ? virtioFields(view) : undefined,
    payload: bytes.subarray(begin),
    payloadBytes: Math.max(0, length - begin, bytes.length - begin),
  };
}

function cidAt(view: DataView, offset: number): number | bigint {
  return view.getUint32(offset + 4, true) === 0
    ? view.getUint32(offset, true)
    : view.getBigUint64(offset, true);
}

function virtioFields(view: DataView): VirtioFields {
  const at = MONITOR_HEADER_BYTES;
  return {
    len: view.getUint32(at + 24, true),
    type: view.getUint16(at + 28, true),
    op: view.getUint16(at + 30, true),
    flags: view.getUint32(at + 32, true),
    bufAlloc: view.getUint32(at + 36, true),
    fwdCnt: view.getUint32(at + 40, true),
  };
}
