/**
 * The RX queue: packets for the guest, as far as it offers buffers and its rate allows.
 *
 * Packets of sibling VMs go first, since they were queued earlier. While the rate is used up, the muxer
 * sends packets without payload only. RSTs without a connection wait for all packets of siblings, which
 * may belong to the same connections.
 */
import type { EventLoop } from "../../io/event-loop.ts";
import type { MemoryTable } from "../vhost-user/memory-table.ts";
import { type DeviceQueues, QueueIndex } from "./device-queues.ts";
import type { Muxer } from "./muxer.ts";
import { RxBuffers } from "./rx-buffers.ts";
import type { SiblingInbox } from "./sibling-inbox.ts";
import type { DeviceStatistics } from "./statistics.ts";
import type { TokenBucket } from "./token-bucket.ts";
import { PACKETS_PER_ROUND } from "./tx-processor.ts";

/** Options of {@link RxProcessor}. */
export interface RxProcessorOptions {
  /** Size of the largest queue. */
  queueSize: number;
  table: MemoryTable;
  loop: EventLoop;
  queues: DeviceQueues;
  muxer: Muxer;
  inbox: SiblingInbox;
  rate: TokenBucket;
  statistics: DeviceStatistics;
}

/** Processes the RX queue of one device. */
export class RxProcessor {
  readonly buffers: RxBuffers;
  readonly #options: RxProcessorOptions;

  constructor(options: RxProcessorOptions) {
    this.#options = options;
    this.buffers = new RxBuffers(options.table, options.queueSize, options.rate);
  }

  /**
   * Returns the buffers for one packet of a sibling VM, which is counted; undefined if the guest offers
   * none or its rate is used up.
   *
   * @throws {VsockboxError} BAD_DATA for a broken queue.
   */
  next(): RxBuffers | undefined {
    const { queues, rate, statistics } = this.#options;
    const running = queues.enabled(QueueIndex.Rx);
    if (running === undefined || !rate.isOpen) return undefined;
    if (!this.buffers.peek(running.queue)) return undefined;
    statistics.packetsToGuest++;
    return this.buffers;
  }

  /**
   * Sends packets; returns whether the limit per round was reached.
   *
   * @throws {VsockboxError} BAD_DATA for a broken queue.
   */
  process(): boolean {
    const { queues, loop, muxer, inbox, rate } = this.#options;
    const running = queues.enabled(QueueIndex.Rx);
    if (running === undefined) return false;
    const { queue } = running;
    let budget = PACKETS_PER_ROUND;
    muxer.holdsData = !rate.isOpen;
    muxer.holdsResets = inbox.hasPending;
    while (budget > 0 && ((inbox.hasPending && rate.isOpen) || muxer.hasPending)) {
      if (!this.buffers.peek(queue)) {
        if (queue.enableKicks()) continue;
        break;
      }
      const packets = this.#send();
      if (packets === 0) break;
      budget -= packets;
    }
    queues.signal(running);
    if (!rate.isOpen) loop.noLaterThan(rate.opensAt);
    return budget <= 0;
  }

  #send(): number {
    const { muxer, inbox, rate, statistics } = this.#options;
    if (inbox.hasPending && rate.isOpen) {
      inbox.fill(this.buffers);
      statistics.packetsToGuest++;
      muxer.holdsResets = inbox.hasPending;
      return 1;
    }
    muxer.holdsData = !rate.isOpen;
    return muxer.fill(this.buffers);
  }
}
