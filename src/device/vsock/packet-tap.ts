/** Somebody who is shown the packets of a VM. */
import type { PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable, PieceList } from "../vhost-user/memory-table.ts";

/** Told of every packet of a VM, whichever way it goes. */
export interface PacketTap {
  /**
   * A packet on a ring. Nothing that is given may be kept.
   *
   * @param headerBytes the header as it is on the ring.
   * @param pieces the packet in the guest's memory, with its header.
   * @param bytes of payload that it says to have.
   */
  onPacket(
    header: PacketHeader,
    headerBytes: Uint8Array,
    table: MemoryTable,
    pieces: PieceList,
    bytes: number,
  ): void;
  /** Once a round of the loop. `now` is performance.now(). */
  onTime(now: number): void;
}
