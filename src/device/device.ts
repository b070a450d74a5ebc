/**
 * The vsock device of one VM (virtio 1.2, section 5.10), as a vhost-user back end.
 *
 * This class connects the parts and runs one round of each after every round of the event loop:
 *
 *     VMM      VmmConnection   messages, guest memory         vhost-user/
 *              DeviceQueues    starts and stops the queues    vsock/
 *     guest    TxProcessor     packets of the guest           vsock/
 *              RxProcessor     packets for the guest          vsock/
 *              Muxer           its connections                vsock/
 *     host     HostBackend     clients and services           host/
 *     others   Siblings        VMs of the same process        vsock/
 *
 * A broken queue ends the connection with this VMM, not the process. The next VMM may connect then.
 */
import { VM_DEFAULTS } from "./config/vm-config.ts";
import { toVsockboxError } from "../errors.ts";
import type { PacketType } from "../protocols/virtio-vsock/packet.ts";
import type { Log } from "../process/service/log.ts";
import type { DeviceOptions } from "./device-options.ts";
import type { EventLoop } from "../io/event-loop.ts";
import type { HostBackend, HostClient } from "./host/host-backend.ts";
import { buffers } from "./vsock/buffer-pool.ts";
import { DeviceQueues } from "./vsock/device-queues.ts";
import { LARGE_BUFFER_BYTES } from "./vsock/large-buffers.ts";
import { LostBytes } from "./vsock/lost-bytes.ts";
import { Muxer, type MuxerDevice } from "./vsock/muxer.ts";
import type { PacketTap } from "./vsock/packet-tap.ts";
import type { PendingResets } from "./vsock/pending-resets.ts";
import { RateLimits } from "./vsock/rate-limits.ts";
import type { RxBuffers } from "./vsock/rx-buffers.ts";
import { RxProcessor } from "./vsock/rx-processor.ts";
import { type SiblingDevice, Siblings } from "./vsock/siblings.ts";
import { DeviceStatistics } from "./vsock/statistics.ts";
import { TransportReset } from "./vsock/transport-reset.ts";
import { TxProcessor } from "./vsock/tx-processor.ts";
import { VmmConnection } from "./vhost-user/vmm-connection.ts";

/** Returns the configuration space: u64 guest_cid; virtio 1.2, 5.10.4. */
function configOf(guestCid: number): Uint8Array {
  const config = new DataView(new ArrayBuffer(8));
  config.setUint32(0, guestCid, true);
  return new Uint8Array(config.buffer);
}

/** The device of one VM. */
export class VsockDevice implements MuxerDevice, SiblingDevice {
  readonly guestCid: number;
  readonly bufAlloc: number;
  readonly maxBufAlloc: number;
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly loop: EventLoop;
  readonly statistics = new DeviceStatistics();
  readonly muxer: Muxer;
  readonly siblings = new Siblings(this);
  readonly #log: Log;
  readonly #vmm: VmmConnection;
  readonly #host: HostBackend;
  readonly #queues: DeviceQueues;
  readonly #tx: TxProcessor;
  readonly #rx: RxProcessor;
  readonly #transportReset: TransportReset;
  readonly #limits: RateLimits;
  readonly #lost: LostBytes;
  #tap: PacketTap | undefined;
  #isClosed = false;

  /** Accepts VMMs and clients from the first round of the loop on. */
  constructor(options: DeviceOptions, loop: EventLoop, log: Log) {
    const { guestCid, queueSize } = options;
    this.guestCid = guestCid;
    this.bufAlloc = options.txBufferSize ?? VM_DEFAULTS.txBufferSize;
    this.maxBufAlloc = options.txBufferSize ?? LARGE_BUFFER_BYTES;
    this.maxConnections = options.maxConnections;
    this.connectTimeoutMs = options.connectTimeoutMs ?? VM_DEFAULTS.connectTimeoutMs;
    this.loop = loop;
    this.#log = log;
    this.#limits = new RateLimits(options, performance.now());
    this.#lost = new LostBytes(this.statistics, (message) => log.warn(message));
    this.muxer = new Muxer(this);
    this.#vmm = this.#openVmm(options);
    const { table } = this.#vmm.memory;
    this.#queues = this.#openQueues();
    const { muxer, siblings, statistics } = this;
    const shared = { queueSize, table, loop, queues: this.#queues, muxer, statistics };
    this.#tx = new TxProcessor({ ...shared, guestCid, siblings, rate: this.#limits.fromGuest });
    this.#rx = new RxProcessor({ ...shared, inbox: siblings.inbox, rate: this.#limits.toGuest });
    this.#transportReset = new TransportReset(table, this.#queues, queueSize);
    this.#host = options.openBackend((client) => this.#acceptClient(client));
    loop.eachRound(() => this.#round());
  }

  #openVmm({ vmmListener, guestCid, queueSize }: DeviceOptions): VmmConnection {
    return new VmmConnection(
      this.loop,
      {
        onRing: (action) => this.#queues.perform(action, this.#vmm.features),
        onConnected: () => {
          this.statistics.vmmConnects++;
          this.#log.info("the VMM has connected");
        },
        onRefused: () => this.#log.warn("refused a second VMM: the device has one"),
        onDisconnecting: () => this.#tx.finish("final"),
        onDisconnected: (reason, isFault) => this.#onVmmDisconnected(reason, isFault),
        onWarning: (message) => this.#log.warn(message),
      },
      {
        listener: vmmListener,
        config: configOf(guestCid),
        maxRingEntries: queueSize,
        lastAvailable: (ring) => this.#queues.stopIndex(ring),
      },
    );
  }

  #onVmmDisconnected(reason: string, isFault: boolean): void {
    if (isFault) this.statistics.vmmDrops++;
    this.#log.info(reason);
    this.#endConnections();
    this.#queues.forgetPositions();
    this.#transportReset.isDue = false;
  }

  #openQueues(): DeviceQueues {
    return new DeviceQueues(this.loop, this.#vmm.memory.table, this.statistics, {
      onTxStopping: () => this.#tx.finish("all"),
      onOtherDriver: (isRestored) => {
        this.#endConnections();
        if (isRestored) this.#transportReset.isDue = true;
      },
      onReady: () => this.#log.info("the guest's driver is ready"),
      onReset: () => this.#endConnections(),
    });
  }

  #endConnections(): void {
    this.muxer.clear();
    this.siblings.clear();
  }

  /** Whether a VMM is connected. */
  get hasVmm(): boolean {
    return this.#vmm.isConnected;
  }

  /** The offered features that the driver has accepted. */
  get features(): bigint {
    return this.#vmm.features;
  }

  /** Whether the guest's driver is ready. */
  get isReady(): boolean {
    return this.#queues.isReady;
  }

  /** Numbers of the host's side: clients and connects that are pending, and clients that were closed. */
  get clients(): Pick<HostBackend, "pending" | "dropped"> {
    return this.#host;
  }

  /** Packets to the guest whose header and payload are in one descriptor. */
  get singleDescriptorToGuest(): number {
    return this.#rx.buffers.singleDescriptorPackets;
  }

  /** Passes every packet to a tap from now on; undefined ends that. */
  setTap(tap: PacketTap | undefined): void {
    this.#tap = tap;
    this.#tx.tap = tap;
    this.#rx.buffers.tap = tap;
  }

  dial(port: number, type: PacketType, onDialled: (fd: number | undefined) => void): void {
    this.#host.dial(port, type, onDialled);
  }

  #acceptClient(client: HostClient): boolean {
    const isAccepted = this.isReady && this.muxer.open(client);
    if (!isAccepted) this.statistics.clientsRefused++;
    return isAccepted;
  }

  onLost(bytes: number): void {
    this.#lost.add(bytes);
  }

  get resets(): PendingResets {
    return this.muxer.resets;
  }

  readonly nextRxBuffers = (): RxBuffers | undefined => {
    try {
      return this.#rx.next();
    } catch (thrown) {
      // The queue of this guest is broken, not that of the sender.
      this.#disconnectVmm(thrown);
      return undefined;
    }
  };

  wake(): void {
    this.loop.again();
  }

  #round(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    this.#vmm.onTime(now);
    this.#host.onTime(now);
    this.muxer.onTime(now);
    this.#tap?.onTime(now);
    this.#limits.refill(now);
    try {
      // TX first: packets of the guest may have replies, and credit that frees bytes for it.
      const hasMoreTx = this.#tx.process("rated");
      const hasMoreRx = this.#rx.process();
      if (hasMoreTx || hasMoreRx) this.loop.again();
      this.#transportReset.send();
    } catch (thrown) {
      this.#disconnectVmm(thrown);
    }
  }

  #disconnectVmm(thrown: unknown): void {
    const { message } = toVsockboxError(thrown, "serve rings");
    this.#vmm.drop(`the device has stopped: ${message}`, true);
  }

  /** Unmaps memory that is not needed at rest. */
  rest(): void {
    this.muxer.compact();
    buffers.trim();
  }

  /**
   * Ends the device: all connections, the VMM's too, and the socket files. Sockets of slow readers stay
   * open until {@link isDrained}, or {@link dropDraining}.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#vmm.close();
    this.#host.close();
  }

  /** Whether the readers on the host have been sent all bytes of the guest. */
  get isDrained(): boolean {
    return this.muxer.drainingCount === 0;
  }

  /** Closes the sockets of slow readers, and logs how many bytes are lost. */
  dropDraining(): void {
    this.muxer.dropDraining();
    this.#lost.report();
  }
}
