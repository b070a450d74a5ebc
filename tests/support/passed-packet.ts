/** A packet that a tap receives without a device. */
import { PieceList } from "../../src/device/vhost-user/memory-table.ts";
import type { PacketTap } from "../../src/device/vsock/packet-tap.ts";
import {
  Op,
  PacketHeader,
  VIRTIO_VSOCK_HEADER_BYTES,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { bufferRegion, tableOf } from "./vhost.ts";

const MEMORY_BYTES = 0x2_0000;
const memory = new ArrayBuffer(MEMORY_BYTES);
const table = tableOf(bufferRegion(0, MEMORY_BYTES, { buffer: memory }));

/** Passes a packet with a payload of so many zero bytes. */
export function passPacket(tap: PacketTap, bytes: number): void {
  const header = new PacketHeader();
  header.op = Op.Rw;
  header.len = bytes;
  const headerBytes = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES);
  header.write(new DataView(headerBytes.buffer), 0);
  const pieces = new PieceList(4);
  table.translate(0, VIRTIO_VSOCK_HEADER_BYTES + bytes, pieces);
  tap.onPacket(header, headerBytes, table, pieces, bytes);
}
