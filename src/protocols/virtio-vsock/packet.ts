/**
 * The header of a virtio-vsock packet: `struct virtio_vsock_hdr`, 44 bytes, little-endian (virtio 1.2,
 * section 5.10.6; linux/virtio_vsock.h). Reading and writing allocates nothing.
 */

/** Size of the header in bytes; the payload follows. */
export const VIRTIO_VSOCK_HEADER_BYTES = 44;

/** Types of sockets. */
export const PacketType = { Stream: 1, Seqpacket: 2 } as const;

/** One of {@link PacketType}. */
export type PacketType = (typeof PacketType)[keyof typeof PacketType];

/** Returns whether the type field of a header is one that this device knows. */
export function isPacketType(type: number): type is PacketType {
  return type === PacketType.Stream || type === PacketType.Seqpacket;
}

/** Operations of packets. */
export const Op = {
  Invalid: 0,
  Request: 1,
  Response: 2,
  Rst: 3,
  Shutdown: 4,
  Rw: 5,
  CreditUpdate: 6,
  CreditRequest: 7,
} as const;

/** One of {@link Op}. */
export type Op = (typeof Op)[keyof typeof Op];

/** Returns the operation of a header's op field; {@link Op.Invalid} for an unknown one. */
export function opOf(op: number): Op {
  return op <= Op.CreditRequest ? (op as Op) : Op.Invalid;
}

/** Flags of Shutdown. */
export const ShutdownFlag = { Receive: 1, Send: 2, Both: 3 } as const;

/** Flags of Rw if the type is seqpacket; virtio 1.2, 5.10.6.7. */
export const RecordFlag = {
  /** The message ends with this packet. */
  EndOfMessage: 1,
  /** The record ends: MSG_EOR of send(2). */
  EndOfRecord: 2,
} as const;

/** The host's CID as guests see it: VMADDR_CID_HOST, linux/vm_sockets.h. */
export const HOST_CID = 2;

/** A CID that no address has: what a u64 beyond 32 bits is read as. */
export const NO_CID = -1;

/** A header as plain fields, to be filled again and again. */
export class PacketHeader {
  srcCid = 0;
  dstCid = 0;
  srcPort = 0;
  dstPort = 0;
  /** Bytes of payload. */
  len = 0;
  type = 0;
  op = 0;
  flags = 0;
  /** How much the sender can hold in all, in bytes. */
  bufAlloc = 0;
  /** Bytes that the sender's application has read since the beginning, wrapping at 2^32. */
  fwdCnt = 0;

  /** Reads a header at `offset`. CIDs are u64 with the upper half reserved: zero. */
  read(view: DataView, offset: number): void {
    this.srcCid = view.getUint32(offset + 4, true) === 0 ? view.getUint32(offset, true) : NO_CID;
    this.dstCid =
      view.getUint32(offset + 12, true) === 0 ? view.getUint32(offset + 8, true) : NO_CID;
    this.srcPort = view.getUint32(offset + 16, true);
    this.dstPort = view.getUint32(offset + 20, true);
    this.len = view.getUint32(offset + 24, true);
    this.type = view.getUint16(offset + 28, true);
    this.op = view.getUint16(offset + 30, true);
    this.flags = view.getUint32(offset + 32, true);
    this.bufAlloc = view.getUint32(offset + 36, true);
    this.fwdCnt = view.getUint32(offset + 40, true);
  }

  /** Copies the fields of another header. */
  copyFrom(other: PacketHeader): void {
    this.srcCid = other.srcCid;
    this.dstCid = other.dstCid;
    this.srcPort = other.srcPort;
    this.dstPort = other.dstPort;
    this.len = other.len;
    this.type = other.type;
    this.op = other.op;
    this.flags = other.flags;
    this.bufAlloc = other.bufAlloc;
    this.fwdCnt = other.fwdCnt;
  }

  /** Writes the header at `offset`. */
  write(view: DataView, offset: number): void {
    view.setUint32(offset, this.srcCid, true);
    view.setUint32(offset + 4, 0, true);
    view.setUint32(offset + 8, this.dstCid, true);
    view.setUint32(offset + 12, 0, true);
    view.setUint32(offset + 16, this.srcPort, true);
    view.setUint32(offset + 20, this.dstPort, true);
    view.setUint32(offset + 24, this.len, true);
    view.setUint16(offset + 28, this.type, true);
    view.setUint16(offset + 30, this.op, true);
    view.setUint32(offset + 32, this.flags, true);
    view.setUint32(offset + 36, this.bufAlloc, true);
    view.setUint32(offset + 40, this.fwdCnt, true);
  }
}
