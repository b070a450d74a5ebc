/**
 * Packets of sibling VMs for one guest: copied straight into its RX buffers, or queued if it offers none.
 *
 * The queue is limited; when it is full, the senders' TX queues wait. A guest that reads nothing while
 * senders wait is stuck after {@link STUCK_MS}, and connections to it are reset.
 */
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  Op,
  PacketHeader,
  PacketType,
} from "../../protocols/virtio-vsock/packet.ts";
import type { RxBuffers } from "./rx-buffers.ts";
import type { TxPacket } from "./tx-packet.ts";

/** Limit of queued bytes; senders wait above it. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

/** Time after which a guest that reads nothing is stuck, in milliseconds. */
const STUCK_MS = 2000;

/** Memory of a queued packet besides its payload, in bytes. */
const PACKET_COST_BYTES = 128;

interface QueuedPacket {
  header: PacketHeader;
  payload: Uint8Array;
}

/** The queue of one guest. */
export class SiblingInbox {
  readonly #packets: QueuedPacket[] = [];
  #bytes = 0;
  /** How much of the first packet's payload has been sent. */
  #begin = 0;
  readonly #part = new PacketHeader();
  #fullSince: number | undefined;
  #isStuck = false;

  /** Whether packets are queued. */
  get hasPending(): boolean {
    return this.#packets.length > 0;
  }

  /** Whether the guest has read nothing for {@link STUCK_MS} while senders wait. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /**
   * Copies a packet into the guest's RX buffers, and queues what does not fit.
   *
   * @param nextBuffers returns buffers with at least one chain; undefined if the guest offers none.
   * @param now by performance.now().
   * @returns false if the queue is full.
   */
  deliver(packet: TxPacket, nextBuffers: () => RxBuffers | undefined, now: number): boolean {
    const { header } = packet;
    // The header's length may exceed the chain, whose bytes are all there is.
    const length = header.op === Op.Rw ? Math.min(header.len, packet.bytes) : 0;
    if (this.hasPending) {
      if (this.#bytes + length > MAX_QUEUED_BYTES) return this.#refuse(now);
      this.#push(packet, 0, length);
      return true;
    }
    for (let sent = 0; ;) {
      const buffers = nextBuffers();
      if (buffers === undefined) {
        this.#push(packet, sent, length - sent);
        return true;
      }
      const bytes = Math.min(length - sent, buffers.bytes);
      buffers.copyFrom(packet.pieces, VIRTIO_VSOCK_HEADER_BYTES + sent, bytes);
      sent += bytes;
      this.#put(buffers, header, bytes, sent === length);
      if (sent === length) return true;
    }
  }

  #refuse(now: number): false {
    this.#fullSince ??= now;
    if (now - this.#fullSince > STUCK_MS) this.#isStuck = true;
    return false;
  }

  #push(packet: TxPacket, skip: number, length: number): void {
    const header = new PacketHeader();
    header.copyFrom(packet.header);
    const payload = new Uint8Array(length);
    packet.copyTo(payload, skip);
    this.#packets.push({ header, payload });
    this.#bytes += length + PACKET_COST_BYTES;
  }

  #put(buffers: RxBuffers, header: PacketHeader, bytes: number, isLast: boolean): void {
    this.#part.copyFrom(header);
    this.#part.len = bytes;
    // The message ends with the last part.
    if (!isLast && header.type === PacketType.Seqpacket) this.#part.flags = 0;
    buffers.put(this.#part, bytes);
    this.#fullSince = undefined;
    this.#isStuck = false;
  }

  /**
   * Writes the first queued packet, or the part of it that fits, into RX buffers.
   *
   * @param buffers with at least one chain.
   * @returns how many bytes of payload.
   */
  fill(buffers: RxBuffers): number {
    const [first] = this.#packets;
    if (first === undefined) return 0;
    const { header, payload } = first;
    const left = payload.length - this.#begin;
    const bytes = Math.min(left, buffers.bytes);
    buffers.write(payload.subarray(this.#begin, this.#begin + bytes));
    this.#begin += bytes;
    if (bytes === left) this.#shift(payload.length);
    this.#put(buffers, header, bytes, bytes === left);
    return bytes;
  }

  #shift(bytes: number): void {
    this.#packets.shift();
    this.#bytes -= bytes + PACKET_COST_BYTES;
    this.#begin = 0;
  }

  /** Drops all packets. */
  clear(): void {
    this.#packets.length = 0;
    this.#bytes = 0;
    this.#begin = 0;
    this.#fullSince = undefined;
    this.#isStuck = false;
  }
}
