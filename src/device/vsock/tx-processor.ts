/**
 * The TX queue: packets of the guest, to the muxer if they are for the host, else to a sibling VM.
 *
 * It waits for a kick unless one of these stops it first: the limit per round, the VM's rate, a queue of
 * RSTs that the guest does not read, or a sibling whose inbox is full. Unprocessed packets stay in the
 * queue, so the guest waits.
 */
import type { EventLoop } from "../../io/event-loop.ts";
import { HOST_CID } from "../../protocols/virtio-vsock/packet.ts";
import type { MemoryTable } from "../vhost-user/memory-table.ts";
import { type DeviceQueues, QueueIndex } from "./device-queues.ts";
import type { Muxer } from "./muxer.ts";
import type { PacketTap } from "./packet-tap.ts";
import type { Delivery, Siblings } from "./siblings.ts";
import type { DeviceStatistics } from "./statistics.ts";
import type { TokenBucket } from "./token-bucket.ts";
import { TxPacket } from "./tx-packet.ts";

/** Packets of one VM before others are served; a chain of many descriptors counts as several. */
export const PACKETS_PER_ROUND = 512;

/** Which packets are processed. */
export type TxMode =
  /** As many as the VM's rate allows. */
  | "rated"
  /** All that are in the queue, which is about to stop. */
  | "all"
  /** All but those that a full inbox of a sibling VM keeps back: the VMM has disconnected. */
  | "final";

/** Options of {@link TxProcessor}. */
export interface TxProcessorOptions {
  guestCid: number;
  /** Size of the largest queue. */
  queueSize: number;
  table: MemoryTable;
  loop: EventLoop;
  queues: DeviceQueues;
  muxer: Muxer;
  siblings: Siblings;
  rate: TokenBucket;
  statistics: DeviceStatistics;
}

/** Processes the TX queue of one device. */
export class TxProcessor {
  readonly #options: TxProcessorOptions;
  readonly #packet: TxPacket;
  /** Receives every packet. */
  tap: PacketTap | undefined;

  constructor(options: TxProcessorOptions) {
    this.#options = options;
    this.#packet = new TxPacket(options.table, options.queueSize);
  }

  /**
   * Processes packets; returns whether the limit per round was reached.
   *
   * @throws {VsockboxError} BAD_DATA for a broken queue.
   */
  process(mode: TxMode): boolean {
    const { queues, loop, muxer, rate } = this.#options;
    const { resets } = muxer;
    const running = queues.enabled(QueueIndex.Tx);
    if (running === undefined) return false;
    const { queue } = running;
    const packet = this.#packet;
    let budget = PACKETS_PER_ROUND;
    let isBlocked = mode === "rated" && !rate.isOpen;
    do {
      while (budget > 0 && !isBlocked && !resets.isHalfFull && queue.peek(packet.chain)) {
        if (packet.read() && this.#deliver(mode) === "retry") {
          isBlocked = true;
          loop.soon();
        } else {
          rate.consume(packet.bytes);
          isBlocked = mode === "rated" && !rate.isOpen;
          budget -= 1 + (packet.chain.descriptors >> 4);
          queue.advance();
          queue.addUsed(packet.chain.head, 0);
        }
      }
    } while (budget > 0 && !isBlocked && !resets.isHalfFull && queue.enableKicks());
    queues.signal(running);
    if (!rate.isOpen) loop.noLaterThan(rate.opensAt);
    return budget <= 0;
  }

  /**
   * Processes what the guest has sent before its queue stops: a kick may arrive after the end of the VMM,
   * and packets that wait for the VM's rate would be lost. The limit is the size of the queue, since a
   * guest may go on to send.
   */
  finish(mode: Exclude<TxMode, "rated">): void {
    const { muxer, queueSize } = this.#options;
    for (let packets = 0; packets < queueSize; packets += PACKETS_PER_ROUND) {
      // The guest reads no more RSTs, and they must not hold back its last packets.
      if (mode === "final") muxer.resets.clear();
      if (!this.process(mode)) return;
    }
  }

  #deliver(mode: TxMode): Delivery {
    const packet = this.#packet;
    const { statistics } = this.#options;
    if (this.#route() === "retry" && mode !== "final") return "retry";
    if (packet.chain.descriptors === 1 && packet.bytes > 0) statistics.singleDescriptorFromGuest++;
    statistics.packetsFromGuest++;
    if (this.tap !== undefined) packet.showTo(this.tap);
    return "done";
  }

  #route(): Delivery {
    const { guestCid, muxer, siblings, statistics } = this.#options;
    const { header } = this.#packet;
    // Packets with the source CID of another VM are ignored.
    if (header.srcCid !== guestCid) return "done";
    if (header.dstCid === HOST_CID) {
      muxer.onPacket(this.#packet);
      return "done";
    }
    const delivery = siblings.forward(this.#packet);
    if (delivery === "done") statistics.packetsToSiblings++;
    return delivery;
  }
}
