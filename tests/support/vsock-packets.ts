/** Packets of a vsockmon link and pcap files of them, made byte by byte for tests of their readers. */

/** The fields of a packet. */
export interface PacketFields {
  srcCid?: bigint;
  dstCid?: bigint;
  srcPort?: number;
  dstPort?: number;
  monitorOp?: number;
  transport?: number;
  /** Of the virtio header. */
  op?: number;
  type?: number;
  flags?: number;
  len?: number;
  bufAlloc?: number;
  fwdCnt?: number;
  payload?: string | Uint8Array;
}

/** Returns a packet: af_vsockmon_hdr, virtio_vsock_hdr, payload. */
export function packetBytes(fields: PacketFields = {}): Uint8Array {
  const { srcCid = 2n, dstCid = 3n, srcPort = 1024, dstPort = 5000 } = fields;
  const { monitorOp = 4, transport = 2, op = 5, type = 1, flags = 0 } = fields;
  const payload = Buffer.from(fields.payload ?? "");
  const bytes = Buffer.alloc(32 + 44 + payload.length);
  for (const at of [0, 32]) {
    bytes.writeBigUInt64LE(srcCid, at);
    bytes.writeBigUInt64LE(dstCid, at + 8);
    bytes.writeUInt32LE(srcPort, at + 16);
    bytes.writeUInt32LE(dstPort, at + 20);
  }
  bytes.writeUInt16LE(monitorOp, 24);
  bytes.writeUInt16LE(transport, 26);
  bytes.writeUInt16LE(44, 28);
  bytes.writeUInt32LE(fields.len ?? payload.length, 56);
  bytes.writeUInt16LE(type, 60);
  bytes.writeUInt16LE(op, 62);
  bytes.writeUInt32LE(flags, 64);
  bytes.writeUInt32LE(fields.bufAlloc ?? 262_144, 68);
  bytes.writeUInt32LE(fields.fwdCnt ?? 0, 72);
  payload.copy(bytes, 76);
  return new Uint8Array(bytes);
}

/** How a pcap file is written. */
export interface PcapLayout {
  isLittleEndian?: boolean;
  hasNanoseconds?: boolean;
  linkType?: number;
  version?: number;
}

/** A packet of a pcap file. */
export interface PcapPacket {
  bytes: Uint8Array;
  /** Seconds since 1970 (default: 1,700,000,000). */
  seconds?: number;
  /** In the unit of the file (default: 123,456). */
  fraction?: number;
  /** Bytes of the whole packet (default: those of `bytes`). */
  length?: number;
}

/** Returns a pcap file. */
export function pcapBytes(
  packets: readonly PcapPacket[],
  { isLittleEndian = true, hasNanoseconds = false, linkType = 271, version = 2 }: PcapLayout = {},
): Uint8Array {
  const size = packets.reduce((sum, { bytes }) => sum + 16 + bytes.length, 24);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  const u32 = (at: number, value: number) => view.setUint32(at, value, isLittleEndian);
  u32(0, hasNanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  view.setUint16(4, version, isLittleEndian);
  view.setUint16(6, 4, isLittleEndian);
  u32(16, 262_144);
  u32(20, linkType);
  let at = 24;
  for (const { bytes, seconds = 1_700_000_000, fraction = 123_456, length } of packets) {
    u32(at, seconds);
    u32(at + 4, fraction);
    u32(at + 8, bytes.length);
    u32(at + 12, length ?? bytes.length);
    file.set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  return file;
}
