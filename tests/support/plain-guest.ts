/** A guest in a plain buffer, with the queues of its vsock device and without a VMM. */
import { ptr } from "../../src/ffi/libc.ts";
import type { MemoryTable } from "../../src/device/vhost-user/memory-table.ts";
import { Virtqueue, type VirtqueueOptions } from "../../src/device/vhost-user/virtqueue.ts";
import type { DeviceQueues, RunningQueue } from "../../src/device/vsock/device-queues.ts";
import {
  PacketHeader,
  VIRTIO_VSOCK_HEADER_BYTES,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { bufferRegion, DriverRing, tableOf } from "./vhost.ts";
import type { Received } from "./vsock-driver.ts";

/** A descriptor that the device writes. */
const WRITE = 2;

/** Buffers are in so many bytes after the rings, and end after at most one more buffer. */
const OFFERED_BYTES = 256 * 1024;

/** The guest's memory, its rings and the device's view of them; all queues run at first. */
export class PlainGuest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly table: MemoryTable;
  readonly rings: readonly [rx: DriverRing, tx: DriverRing, event: DriverRing];
  /** First byte after the rings. */
  readonly data: number;
  readonly running: readonly RunningQueue[];
  /** How often the device has signalled each queue. */
  readonly signals = [0, 0, 0];
  #seenUsed = 0;

  constructor({ entries = 64, size = 1 << 20, ...options }: PlainGuestOptions = {}) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    const { buffer } = this.bytes;
    this.view = new DataView(buffer);
    this.table = tableOf(bufferRegion(0, size, { buffer, hostAddress: ptr(this.bytes) }));
    const after = ({ end }: DriverRing) => Math.ceil(end / 64) * 64;
    const rx = new DriverRing(this.view, entries);
    const tx = new DriverRing(this.view, entries, after(rx));
    const event = new DriverRing(this.view, entries, after(tx));
    this.rings = [rx, tx, event];
    this.data = Math.ceil(event.end / 4096) * 4096;
    this.running = this.rings.map(({ addresses }, index) => ({
      queue: new Virtqueue(this.table, {
        ...{ name: `ring ${index}`, entries, addresses, base: 0, eventIndex: true },
        ...options,
      }),
      kick: -1,
      call: undefined,
      isEnabled: true,
    }));
  }

  /** The device's queues over this guest. */
  get queues(): DeviceQueues {
    const queues: Pick<DeviceQueues, "enabled" | "signal"> = {
      enabled: (index) => {
        const running = this.running[index];
        return running?.isEnabled === true ? running : undefined;
      },
      signal: (running) => {
        const index = this.running.indexOf(running);
        if (running.queue.shouldSignal()) this.signals[index] = (this.signals[index] ?? 0) + 1;
      },
    };
    return queues as DeviceQueues;
  }

  /** Offers `count` chains of one descriptor that the device may write; many share their memory. */
  offer(ring: DriverRing, length: number, count = 1): void {
    for (let chain = 0; chain < count; chain++) {
      const slot = ring.available % ring.entries;
      const address = this.data + ((slot * length) % OFFERED_BYTES);
      ring.describe(slot, { address, length, flags: WRITE });
      ring.offer(slot);
    }
  }

  /** The packets that the device has written into the RX ring since the last call, with their memory. */
  received(): Received[] {
    const [ring] = this.rings;
    const packets: Received[] = [];
    for (; this.#seenUsed !== ring.usedIndex; this.#seenUsed = (this.#seenUsed + 1) & 0xffff) {
      const { head, length } = ring.used(this.#seenUsed);
      const at = Number(this.view.getBigUint64(ring.addresses.descriptors + head * 16, true));
      const header = new PacketHeader();
      header.read(this.view, at);
      packets.push({
        header,
        payload: this.bytes.slice(at + VIRTIO_VSOCK_HEADER_BYTES, at + length),
      });
    }
    return packets;
  }

  /** The device polls in these tests. */
  kick(): void {}
}

/** Options of {@link PlainGuest}. */
export interface PlainGuestOptions extends Partial<Pick<VirtqueueOptions, "eventIndex">> {
  /** Size of each ring. */
  entries?: number;
  /** Size of the memory in bytes. */
  size?: number;
}
