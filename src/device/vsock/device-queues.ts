/**
 * The queues of a vsock device while they run: RX, TX and event queue (virtio 1.2, 5.10.2), each with the
 * descriptors for kicks (driver to device) and calls (device to driver).
 *
 * A queue starts with its kick descriptor and stops with GET_VRING_BASE, at an index of its available
 * ring. A VMM that pauses its guest, as for a snapshot, starts the queue again at that index, and the
 * connections stay. Any other index belongs to another driver: a new one (index 0), or one of a guest
 * that was restored or migrated and believes in connections of another device.
 */
import { EPOLLET, EPOLLIN } from "../../ffi/epoll.ts";
import { adoptEvent, clearEvent, signalEvent } from "../../ffi/eventfd.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import type { RingSetup } from "../../protocols/vhost-user/actions.ts";
import { Feature } from "../../protocols/vhost-user/features.ts";
import type { MemoryTable } from "../vhost-user/memory-table.ts";
import { Virtqueue } from "../vhost-user/virtqueue.ts";
import type { RingAction } from "../vhost-user/vmm-connection.ts";
import type { DeviceStatistics } from "./statistics.ts";

/** Indexes of the queues. */
export const QueueIndex = { Rx: 0, Tx: 1, Event: 2 } as const;

/** How many queues there are. */
const QUEUES = 3;

/** A queue that runs. */
export interface RunningQueue {
  readonly queue: Virtqueue;
  kick: number;
  call: number | undefined;
  /** Whether it may be processed. */
  isEnabled: boolean;
}

/** Receives changes of the queues. */
export interface QueueHandlers {
  /** Called before the TX queue stops or is disabled: it is processed once more. */
  onTxStopping(): void;
  /**
   * Called if a queue does not resume at the index where it stopped: the guest knows no connection of
   * this device.
   *
   * @param isRestored whether the guest may believe in connections of another device.
   */
  onOtherDriver(isRestored: boolean): void;
  /** Called when the RX and the TX queue run. */
  onReady(): void;
  /** Called when the driver has reset the device. */
  onReset(): void;
}

/** The queues of one device. */
export class DeviceQueues {
  readonly #loop: EventLoop;
  readonly #table: MemoryTable;
  readonly #statistics: DeviceStatistics;
  readonly #handlers: QueueHandlers;
  readonly #running: (RunningQueue | undefined)[] = Array.from({ length: QUEUES });
  readonly #stoppedAt: number[] = Array.from({ length: QUEUES }, () => 0);

  constructor(
    loop: EventLoop,
    table: MemoryTable,
    statistics: DeviceStatistics,
    handlers: QueueHandlers,
  ) {
    this.#loop = loop;
    this.#table = table;
    this.#statistics = statistics;
    this.#handlers = handlers;
  }

  /** Whether the RX and the TX queue run: the guest's driver is ready. */
  get isReady(): boolean {
    return this.#running[QueueIndex.Rx] !== undefined && this.#running[QueueIndex.Tx] !== undefined;
  }

  /** Returns a queue if it runs and is enabled. */
  enabled(index: number): RunningQueue | undefined {
    const running = this.#running[index];
    return running?.isEnabled === true ? running : undefined;
  }

  /** Returns the next index in the available ring of a queue, which is about to stop. */
  stopIndex(index: number): number {
    if (index === QueueIndex.Tx) this.#handlers.onTxStopping();
    return this.#running[index]?.queue.lastAvailable ?? 0;
  }

  /**
   * Performs an action of the VMM.
   *
   * @param features what the driver has accepted.
   * @throws {VsockboxError} BAD_DATA for a queue that is not in guest memory.
   */
  perform(action: RingAction, features: bigint): void {
    switch (action.kind) {
      case "start":
        return this.#start(action.ring, action.setup, features);
      case "stop":
        return this.#stop(action.ring);
      case "reset":
        return this.#handlers.onReset();
      case "kick":
        return this.#replaceKick(action.ring, action.fd);
      case "enable":
        return this.#enable(action.ring, action.enabled);
      case "call":
        return this.#replaceCall(action.ring, action.fd);
      default:
        action satisfies never;
    }
  }

  #start(index: number, setup: RingSetup, features: bigint): void {
    const queue = new Virtqueue(this.#table, {
      name: `ring ${index}`,
      entries: setup.entries,
      addresses: setup.addresses,
      base: setup.base,
      eventIndex: (features & Feature.EventIndex) !== 0n,
      indirect: (features & Feature.IndirectDescriptors) !== 0n,
      notifyOnEmpty: (features & Feature.NotifyOnEmpty) !== 0n,
    });
    if (setup.call !== undefined) adoptEvent(setup.call);
    this.#running[index] = { queue, kick: setup.kick, call: setup.call, isEnabled: true };
    this.#watchKick(setup.kick);
    if (index === QueueIndex.Event) return;
    if (setup.base !== this.#stoppedAt[index]) this.#handlers.onOtherDriver(setup.base !== 0);
    if (this.isReady) this.#handlers.onReady();
  }

  #stop(index: number): void {
    const running = this.#running[index];
    if (running === undefined) return;
    this.#loop.remove(running.kick);
    this.#stoppedAt[index] = running.queue.lastAvailable;
    this.#running[index] = undefined;
  }

  #enable(index: number, isEnabled: boolean): void {
    const running = this.#running[index];
    if (index === QueueIndex.Tx && !isEnabled) this.#handlers.onTxStopping();
    if (running !== undefined) running.isEnabled = isEnabled;
  }

  #replaceCall(index: number, fd: number | undefined): void {
    const running = this.#running[index];
    if (fd !== undefined) adoptEvent(fd);
    if (running !== undefined) running.call = fd;
  }

  #replaceKick(index: number, fd: number): void {
    const running = this.#running[index];
    if (running === undefined) return;
    this.#loop.remove(running.kick);
    running.kick = fd;
    this.#watchKick(fd);
  }

  #watchKick(fd: number): void {
    // An eventfd reports each write even if it is never read; bytes in a pipe would fill it.
    if (adoptEvent(fd)) {
      this.#loop.add(fd, EPOLLIN | EPOLLET, () => this.#statistics.kicks++);
      return;
    }
    this.#loop.add(fd, EPOLLIN, () => {
      this.#statistics.kicks++;
      if (!clearEvent(fd)) this.#loop.remove(fd);
    });
  }

  /** Publishes used chains, and signals the guest if its driver wants that. */
  signal({ queue, call }: RunningQueue): void {
    if (!queue.shouldSignal() || call === undefined) return;
    this.#statistics.signals++;
    signalEvent(call);
  }

  /** Forgets the indexes of the stopped queues: the next VMM has another guest. */
  forgetPositions(): void {
    this.#stoppedAt.fill(0);
  }
}
