/** An observer of the packets of a VM, such as a capture. */
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable, PieceList } from "../vhost-user/memory-table.ts";

/** Receives every packet of a VM, in both directions. */
export interface PacketTap {
  /**
   * Called with each packet; the arguments are valid only during the call.
   *
   * @param headerBytes the encoded header.
   * @param pieces the packet in guest memory, with its header.
   * @param bytes the length of the payload according to the header.
   */
  onPacket(
    header: PacketHeader,
    headerBytes: Uint8Array,
    table: MemoryTable,
    pieces: PieceList,
    bytes: number,
  ): void;
  /** Called in every round of the event loop; `now` is performance.now(). */
  onTime(now: number): void;
}

/** Returns a tap that passes each packet to all of these; undefined for none. */
export function joinTaps(taps: readonly PacketTap[]): PacketTap | undefined {
  if (taps.length < 2) return taps[0];
  return {
    onPacket(...packet) {
      for (const tap of taps) tap.onPacket(...packet);
    },
    onTime(now) {
      for (const tap of taps) tap.onTime(now);
    },
  };
}
