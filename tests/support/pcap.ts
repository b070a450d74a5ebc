/** A reader for pcap files of vsock packets, written from the formats' descriptions. */

/** A packet of a capture. */
export interface CapturedPacket {
  seconds: number;
  srcCid: bigint;
  dstCid: bigint;
  srcPort: number;
  dstPort: number;
  /** enum af_vsockmon_op. */
  monitorOp: number;
  /** Of the virtio header. */
  op: number;
  len: number;
  payload: Uint8Array;
  /** Length of the packet with all headers, of which the record may have less. */
  originalBytes: number;
}

/** What a file says of itself, and its packets. */
export interface Pcap {
  linkType: number;
  snapBytes: number;
  packets: CapturedPacket[];
}

/** Reads a whole file; throws where a byte of it does not fit. */
export function readPcap(file: Uint8Array): Pcap {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const magic = view.getUint32(0, true);
  const version = [view.getUint16(4, true), view.getUint16(6, true)];
  if (magic !== 0xa1b2c3d4 || version.join(".") !== "2.4") throw new Error("it is no pcap file");
  const snapBytes = view.getUint32(16, true);
  const packets: CapturedPacket[] = [];
  for (let at = 24; at < file.length;) {
    const captured = view.getUint32(at + 8, true);
    if (captured > snapBytes || view.getUint32(at + 4, true) >= 1_000_000) {
      throw new Error(`a bad record at ${at}`);
    }
    const packet = at + 16;
    const transportBytes = view.getUint16(packet + 28, true);
    if (view.getUint16(packet + 26, true) !== 2 || transportBytes !== 44) {
      throw new Error(`no virtio packet at ${packet}`);
    }
    const virtio = packet + 32;
    packets.push({
      seconds: view.getUint32(at, true),
      srcCid: view.getBigUint64(packet, true),
      dstCid: view.getBigUint64(packet + 8, true),
      srcPort: view.getUint32(packet + 16, true),
      dstPort: view.getUint32(packet + 20, true),
      monitorOp: view.getUint16(packet + 24, true),
      op: view.getUint16(virtio + 30, true),
      len: view.getUint32(virtio + 24, true),
      payload: file.slice(virtio + transportBytes, packet + captured),
      originalBytes: view.getUint32(at + 12, true),
    });
    at = packet + captured;
  }
  return { linkType: view.getUint32(20, true), snapBytes, packets };
}
