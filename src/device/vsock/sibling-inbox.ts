/** Packets of other VMs for one guest: straight into its chains, and kept where there are none. */
import { HEADER_BYTES, Op, PacketHeader, PacketType } from "../../protocols/virtio-vsock/packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** Most bytes that wait for a guest: above it the senders wait as well. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** A guest that takes nothing for so long is stuck, in milliseconds: nobody waits for it. */
const STUCK_MS = 2000;

/** What keeping a packet costs beside its bytes. */
const PACKET_COST_BYTES = 128;

interface WaitingPacket {
  header: PacketHeader;
  payload: Uint8Array;
}

/** The queue of one guest. */
export class SiblingInbox {
  readonly #packets: WaitingPacket[] = [];
  #bytes = 0;
  /** What of the first packet's payload the guest has already. */
  #begin = 0;
  readonly #part = new PacketHeader();
  #fullSince: number | undefined;
  #isStuck = false;

  /** Whether something waits for the guest. */
  get hasPending(): boolean {
    return this.#packets.length > 0;
  }

  /** Whether the guest has taken nothing for long, while others wait. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /**
   * Gives the guest a packet, or keeps what it has no room for.
   *
   * @param nextRoom room with a chain of the guest; undefined where there is none.
   * @param now by performance.now().
   * @returns false where neither is possible now.
   */
  take(packet: TxPacket, nextRoom: () => RxBuffers | undefined, now: number): boolean {
    const { header } = packet;
    // A length beyond its descriptors is no packet; nothing reads the bytes behind it.
    const length = header.op === Op.Rw ? Math.min(header.len, packet.bytes) : 0;
    if (this.hasPending) {
      if (this.#bytes + length > MAX_WAITING_BYTES) return this.#refuse(now);
      this.#keep(packet, 0, length);
      return true;
    }
    for (let given = 0; ;) {
      const room = nextRoom();
      if (room === undefined) {
        this.#keep(packet, given, length - given);
        return true;
      }
      const bytes = Math.min(length - given, room.bytes);
      room.copyFrom(packet.pieces, HEADER_BYTES + given, bytes);
      given += bytes;
      this.#put(room, header, bytes, given === length);
      if (given === length) return true;
    }
  }

  #refuse(now: number): false {
    this.#fullSince ??= now;
    if (now - this.#fullSince > STUCK_MS) this.#isStuck = true;
    return false;
  }

  #keep(packet: TxPacket, skip: number, length: number): void {
    const header = new PacketHeader();
    header.copyFrom(packet.header);
    const payload = new Uint8Array(length);
    packet.copyTo(payload, skip);
    this.#packets.push({ header, payload });
    this.#bytes += length + PACKET_COST_BYTES;
  }

  #put(room: RxBuffers, header: PacketHeader, bytes: number, isLast: boolean): void {
    this.#part.copyFrom(header);
    this.#part.len = bytes;
    // The message ends with the last part.
    if (!isLast && header.type === PacketType.Seqpacket) this.#part.flags = 0;
    room.put(this.#part, bytes);
    this.#fullSince = undefined;
    this.#isStuck = false;
  }

  /**
   * Gives the guest the first packet that was kept, or what fits of it.
   *
   * @param room with at least one chain.
   * @returns how many bytes of payload that were.
   */
  fill(room: RxBuffers): number {
    const [first] = this.#packets;
    if (first === undefined) return 0;
    const { header, payload } = first;
    const left = payload.length - this.#begin;
    const bytes = Math.min(left, room.bytes);
    room.write(payload.subarray(this.#begin, this.#begin + bytes));
    this.#begin += bytes;
    if (bytes === left) this.#dropFirst(payload.length);
    this.#put(room, header, bytes, bytes === left);
    return bytes;
  }

  #dropFirst(bytes: number): void {
    this.#packets.shift();
    this.#bytes -= bytes + PACKET_COST_BYTES;
    this.#begin = 0;
  }

  /** Forgets everything. */
  clear(): void {
    this.#packets.length = 0;
    this.#bytes = 0;
    this.#begin = 0;
    this.#fullSince = undefined;
    this.#isStuck = false;
  }
}
