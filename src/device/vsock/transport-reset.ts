/**
 * The event VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (virtio 1.2, 5.10.6.3), which ends all connections of a
 * guest that was restored or migrated: its connections belong to another device.
 */
import type { MemoryTable } from "../vhost-user/memory-table.ts";
import { Chain } from "../vhost-user/virtqueue.ts";
import { type DeviceQueues, QueueIndex } from "./device-queues.ts";

/** struct virtio_vsock_event: u32 id. */
const TRANSPORT_RESET = Uint8Array.of(0, 0, 0, 0);

/** The event of one device. */
export class TransportReset {
  readonly #table: MemoryTable;
  readonly #queues: DeviceQueues;
  readonly #queueSize: number;
  /** Whether it is to be sent, as soon as the guest offers a buffer in the event queue. */
  isDue = false;

  /** @param queueSize size of the largest queue. */
  constructor(table: MemoryTable, queues: DeviceQueues, queueSize: number) {
    this.#table = table;
    this.#queues = queues;
    this.#queueSize = queueSize;
  }

  /**
   * Sends the event if it is due. VMMs that process the event queue themselves never start it here.
   *
   * @throws {VsockboxError} BAD_DATA for a broken queue.
   */
  send(): void {
    if (!this.isDue) return;
    const running = this.#queues.enabled(QueueIndex.Event);
    if (running === undefined) return;
    const { queue } = running;
    const chain = new Chain(this.#queueSize);
    if (!queue.pop(chain)) {
      queue.enableKicks();
      return;
    }
    this.#table.write(chain.writable, 0, TRANSPORT_RESET);
    queue.addUsed(chain.head, TRANSPORT_RESET.length);
    this.#queues.signal(running);
    this.isDue = false;
  }
}
