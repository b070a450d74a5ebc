/** A vsock device for one VM: its rings, and what goes through them. */
import { VM_DEFAULTS } from "./config/vm-config.ts";
import { toVsockboxError } from "../errors.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ffi/epoll.ts";
import { adoptEvent, clearEvent, signalEvent } from "../ffi/eventfd.ts";
import type { RingSetup } from "../protocols/vhost-user/actions.ts";
import { Feature } from "../protocols/vhost-user/features.ts";
import { HOST_CID } from "../protocols/virtio-vsock/packet.ts";
import type { DeviceLog, DeviceOptions } from "./device-options.ts";
import type { EventLoop } from "../io/event-loop.ts";
import type { HostBackend, HostClient } from "./host/host-backend.ts";
import type { HostConnection } from "./vsock/host-connection.ts";
import { Muxer, type MuxerHost } from "./vsock/muxer.ts";
import { RxBuffers } from "./vsock/rx-buffers.ts";
import type { PacketTap } from "./vsock/packet-tap.ts";
import { RateLimits } from "./vsock/rate-limits.ts";
import { TxPacket } from "./vsock/tx-packet.ts";
import { Passed, type SiblingDevice, Siblings } from "./vsock/siblings.ts";
import { DeviceStatistics } from "./vsock/statistics.ts";
import { type RingAction, VmmConnection, type VmmHandlers } from "./vhost-user/vmm-connection.ts";
import { Chain, Virtqueue } from "./vhost-user/virtqueue.ts";

/** The rings of a vsock device. */
const RX = 0;
const TX = 1;
const EVENTS = 2;

/** What is always looked for on a connection's socket. */
const SOCKET_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLET;

/** Packets of one VM before the others have a turn; a chain of many descriptors counts as several. */
const PACKETS_PER_ROUND = 512;

/** Lost bytes are logged so often at most, in milliseconds: a guest may bring them about. */
const LOST_LOG_MS = 10_000;

/** struct virtio_vsock_event with VIRTIO_VSOCK_EVENT_TRANSPORT_RESET; virtio 1.2, 5.10.6.3. */
const TRANSPORT_RESET = Uint8Array.of(0, 0, 0, 0);

/** Which of the guest's packets are consumed. */
const Taking = {
  /** As many as its rate allows. */
  Rated: 0,
  /** Those that are there, since the ring stops. */
  All: 1,
  /** The same, without those for other VMs that have no free space for them: the VMM disconnects. */
  Last: 2,
} as const;

/** A ring that runs. */
interface RunningRing {
  ring: Virtqueue;
  kick: number;
  call: number | undefined;
  enabled: boolean;
}

/** The configuration space: u64 guest_cid; virtio 1.2, 5.10.4. */
function configOf(guestCid: number): Uint8Array {
  const config = new DataView(new ArrayBuffer(8));
  config.setUint32(0, guestCid, true);
  return new Uint8Array(config.buffer);
}

/** The device of one VM. */
export class VsockDevice implements MuxerHost, VmmHandlers, SiblingDevice {
  readonly guestCid: number;
  readonly bufAlloc: number;
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly statistics = new DeviceStatistics();
  readonly muxer = new Muxer(this);
  readonly siblings = new Siblings(this);
  readonly #queueSize: number;
  readonly #loop: EventLoop;
  readonly #log: DeviceLog;
  readonly #link: VmmConnection;
  readonly #host: HostBackend;
  readonly #rings: (RunningRing | undefined)[] = [undefined, undefined, undefined];
  readonly #sent: TxPacket;
  readonly #room: RxBuffers;
  readonly #rates: RateLimits;
  /** Where the rings were when they stopped: a pause goes on there, a new driver does not. */
  readonly #stoppedAt: number[] = [0, 0, 0];
  #tap: PacketTap | undefined;
  #isClosed = false;
  /** Bytes that were lost since the last line about it, which was then, by performance.now(). */
  #unreportedBytes = 0;
  #lostAt = -Infinity;
  /** Whether the guest may believe in connections that are none. */
  #owesReset = false;

  /** Accepts from the first round of the loop on. */
  constructor(options: DeviceOptions, loop: EventLoop, log: DeviceLog) {
    this.guestCid = options.guestCid;
    this.bufAlloc = options.txBufferSize;
    this.maxConnections = options.maxConnections;
    this.connectTimeoutMs = options.connectTimeoutMs ?? VM_DEFAULTS.connectTimeoutMs;
    this.#queueSize = options.queueSize;
    this.#rates = new RateLimits(options, performance.now());
    this.#loop = loop;
    this.#log = log;
    this.#link = new VmmConnection(loop, this, {
      listener: options.vmmListener,
      config: configOf(options.guestCid),
      maxRingEntries: options.queueSize,
      lastAvailable: (ring) => {
        if (ring === TX) this.#finishSent(Taking.All);
        return this.#rings[ring]?.ring.lastAvailable ?? 0;
      },
    });
    const { table } = this.#link.memory;
    this.#sent = new TxPacket(table, options.queueSize);
    this.#room = new RxBuffers(table, options.queueSize, this.#rates.toGuest);
    this.#host = options.openBackend((client) => this.#acceptClient(client));
    loop.eachRound(() => this.#round());
  }

  /** Whether a VMM is connected. */
  get hasVmm(): boolean {
    return this.#link.isConnected;
  }

  /** What the driver has taken of the features that were offered. */
  get features(): bigint {
    return this.#link.features;
  }

  /** Whether a guest's driver is there to take packets. */
  get isReady(): boolean {
    return this.#rings[RX] !== undefined && this.#rings[TX] !== undefined;
  }

  /** Of the host's side: clients and dials that nothing is known of yet, and clients given up. */
  get clients(): Pick<HostBackend, "pending" | "dropped"> {
    return this.#host;
  }

  /** Packets to the guest whose header and payload were put into one descriptor. */
  get singleDescriptorToGuest(): number {
    return this.#room.singleDescriptorPackets;
  }

  /** Shows every packet to somebody from now on; to nobody where it is undefined. */
  setTap(tap: PacketTap | undefined): void {
    this.#tap = tap;
    this.#room.tap = tap;
  }

  // The VMM.

  onVmmConnected(): void {
    this.statistics.vmmConnects++;
    this.#log.info("the VMM has connected");
  }

  onVmmRefused(): void {
    this.#log.warn("a second VMM was turned away: the device has one");
  }

  onWarning(message: string): void {
    this.#log.warn(message);
  }

  onVmmClosing(): void {
    this.#finishSent(Taking.Last);
  }

  onVmmDisconnected(why: string, isFault: boolean): void {
    if (isFault) this.statistics.vmmDrops++;
    this.#log.info(why);
    this.#clear();
    this.#stoppedAt.fill(0);
    this.#owesReset = false;
  }

  onRing(action: RingAction): void {
    switch (action.kind) {
      case "start":
        return this.#start(action.ring, action.setup);
      case "stop":
        return this.#stop(action.ring);
      case "reset":
        return this.#clear();
      case "kick":
        return this.#replaceKick(action.ring, action.fd);
      case "enable": {
        const running = this.#rings[action.ring];
        if (action.ring === TX && !action.enabled) this.#finishSent(Taking.All);
        if (running !== undefined) running.enabled = action.enabled;
        return;
      }
      case "call": {
        const running = this.#rings[action.ring];
        if (action.fd !== undefined) adoptEvent(action.fd);
        if (running !== undefined) running.call = action.fd;
      }
    }
  }

  #start(index: number, setup: RingSetup): void {
    const { features } = this.#link;
    const ring = new Virtqueue(this.#link.memory.table, {
      name: `ring ${index}`,
      entries: setup.entries,
      addresses: setup.addresses,
      base: setup.base,
      eventIndex: (features & Feature.EventIndex) !== 0n,
      indirect: (features & Feature.IndirectDescriptors) !== 0n,
      notifyOnEmpty: (features & Feature.NotifyOnEmpty) !== 0n,
    });
    if (setup.call !== undefined) adoptEvent(setup.call);
    this.#rings[index] = { ring, kick: setup.kick, call: setup.call, enabled: true };
    this.#watchKick(setup.kick);
    if (index === EVENTS) return;
    // A paused guest goes on where it was; any other knows none of the connections.
    if (setup.base !== this.#stoppedAt[index]) {
      this.#clear();
      // One that was restored or migrated believes in connections of its own.
      if (setup.base !== 0) this.#owesReset = true;
    }
    if (this.isReady) this.#log.info("the guest's driver is there");
  }

  #replaceKick(index: number, fd: number): void {
    const running = this.#rings[index];
    if (running === undefined) return;
    this.#loop.remove(running.kick);
    running.kick = fd;
    this.#watchKick(fd);
  }

  #watchKick(fd: number): void {
    // An eventfd tells of each write even if nobody reads it; what is in a pipe would fill it.
    if (adoptEvent(fd)) {
      this.#loop.add(fd, EPOLLIN | EPOLLET, () => this.statistics.kicks++);
      return;
    }
    this.#loop.add(fd, EPOLLIN, () => {
      this.statistics.kicks++;
      if (!clearEvent(fd)) this.#loop.remove(fd);
    });
  }

  #stop(index: number): void {
    const running = this.#rings[index];
    if (running === undefined) return;
    this.#loop.remove(running.kick);
    this.#stoppedAt[index] = running.ring.lastAvailable;
    this.#rings[index] = undefined;
  }

  /** No connection is one any more. */
  #clear(): void {
    this.muxer.clear();
    this.siblings.clear();
  }

  // The host's side.

  dial(port: number, type: number, answer: (fd: number | undefined) => void): void {
    this.#host.dial(port, type, answer);
  }

  #acceptClient(client: HostClient): boolean {
    const isTaken = this.isReady && this.muxer.open(client);
    if (!isTaken) this.statistics.clientsRefused++;
    return isTaken;
  }

  watch(connection: HostConnection): void {
    this.#loop.add(connection.fd, SOCKET_EVENTS, (seen) => {
      const isGone = (seen & (EPOLLHUP | EPOLLERR)) !== 0;
      const hasEnd = isGone || (seen & EPOLLRDHUP) !== 0;
      const isReadable = hasEnd || (seen & EPOLLIN) !== 0;
      const isWritable = isGone || (seen & EPOLLOUT) !== 0;
      this.muxer.onSocket(connection, isReadable, isWritable, hasEnd, isGone);
    });
  }

  rewatch({ fd, watchesRoom }: HostConnection): void {
    this.#loop.modify(fd, watchesRoom ? SOCKET_EVENTS | EPOLLOUT : SOCKET_EVENTS);
  }

  unwatch(connection: HostConnection): void {
    this.#loop.forget(connection.fd);
  }

  onLost(bytes: number): void {
    this.statistics.bytesLost += bytes;
    this.#unreportedBytes += bytes;
    if (performance.now() - this.#lostAt > LOST_LOG_MS) this.#reportLost();
  }

  #reportLost(): void {
    if (this.#unreportedBytes === 0) return;
    const bytes = this.#unreportedBytes;
    this.#unreportedBytes = 0;
    this.#lostAt = performance.now();
    this.#log.warn(
      `${bytes} bytes of the guest are lost: programs on the host have not read them in time`,
    );
  }

  // Other VMs.

  get resets() {
    return this.muxer.resets;
  }

  readonly nextRoom = (): RxBuffers | undefined => {
    const running = this.#rings[RX];
    if (running === undefined || !running.enabled || !this.#rates.toGuest.isOpen) return undefined;
    try {
      if (!this.#room.look(running.ring)) return undefined;
      this.statistics.packetsToGuest++;
      return this.#room;
    } catch (thrown) {
      // It is this guest's fault, not that of the one that sends.
      this.#stopServing(thrown);
      return undefined;
    }
  };

  wake(): void {
    this.#loop.again();
  }

  // The rings.

  #round(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    this.#link.onTime(now);
    this.#host.onTime(now);
    this.muxer.onTime(now);
    this.#tap?.onTime(now);
    this.#rates.refill(now);
    try {
      // What the guest sent may have answers, and these room again for more of it.
      const left = this.#transmit(Taking.Rated);
      if (this.#receive() || left) this.#loop.again();
      if (this.#owesReset) this.#tellReset();
    } catch (thrown) {
      this.#stopServing(thrown);
    }
  }

  /** A broken ring is the end of this VM's device, not of the process. */
  #stopServing(thrown: unknown): void {
    const { message } = toVsockboxError(thrown, "serve rings");
    this.#link.drop(`the device has stopped: ${message}`, true);
  }

  /** Takes packets of the guest; true where there are more than fit into a round. */
  #transmit(taking: number): boolean {
    const running = this.#rings[TX];
    if (running === undefined || !running.enabled) return false;
    const { ring } = running;
    const sent = this.#sent;
    const rate = this.#rates.fromGuest;
    let budget = PACKETS_PER_ROUND;
    let isBlocked = taking === Taking.Rated && !rate.isOpen;
    do {
      while (budget > 0 && !isBlocked && !this.resets.isBusy && ring.peek(sent.chain)) {
        if (sent.read()) {
          if (sent.chain.descriptors === 1 && sent.bytes > 0) {
            this.statistics.singleDescriptorFromGuest++;
          }
          if (this.#onPacket() === Passed.Later && taking !== Taking.Last) {
            isBlocked = true;
            this.#loop.soon();
            break;
          }
          this.statistics.packetsFromGuest++;
          if (this.#tap !== undefined) sent.showTo(this.#tap);
        }
        rate.take(sent.bytes);
        isBlocked = taking === Taking.Rated && !rate.isOpen;
        budget -= 1 + (sent.chain.descriptors >> 4);
        ring.take();
        ring.use(sent.chain.head, 0);
      }
    } while (budget > 0 && !isBlocked && !this.resets.isBusy && ring.enableKicks());
    this.#signal(running);
    // What the guest has more waits in its ring.
    if (!rate.isOpen) this.#loop.noLaterThan(rate.opensAt);
    return budget <= 0;
  }

  /**
   * Takes what the guest has sent before its ring stops: a kick may be seen behind the VMM's end, and
   * what waits for its rate would be lost. One that sends on and on does not get more than its ring
   * holds.
   */
  #finishSent(taking: number): void {
    for (let packets = 0; packets < this.#queueSize; packets += PACKETS_PER_ROUND) {
      // Nobody reads them any more, and they must not hold up the guest's last packets.
      if (taking === Taking.Last) this.resets.clear();
      if (!this.#transmit(taking)) return;
    }
  }

  #onPacket(): number {
    const { header } = this.#sent;
    // A guest that speaks for somebody else is not listened to.
    if (header.srcCid !== this.guestCid) return Passed.Yes;
    if (header.dstCid !== HOST_CID) {
      const passed = this.siblings.pass(this.#sent);
      if (passed === Passed.Yes) this.statistics.packetsToSiblings++;
      return passed;
    }
    this.muxer.onPacket(this.#sent);
    return Passed.Yes;
  }

  /** Gives packets to the guest; true where there is more to give and room for it. */
  #receive(): boolean {
    const running = this.#rings[RX];
    if (running === undefined || !running.enabled) return false;
    const { ring } = running;
    const { inbox } = this.siblings;
    const rate = this.#rates.toGuest;
    let budget = PACKETS_PER_ROUND;
    this.muxer.holdsData = !rate.isOpen;
    this.muxer.holdsResets = inbox.hasPending;
    while (budget > 0 && ((inbox.hasPending && rate.isOpen) || this.muxer.hasPending)) {
      if (!this.#room.look(ring)) {
        if (ring.enableKicks()) continue;
        break;
      }
      if (inbox.hasPending && rate.isOpen) {
        inbox.fill(this.#room);
        this.statistics.packetsToGuest++;
        budget--;
        this.muxer.holdsResets = inbox.hasPending;
        continue;
      }
      this.muxer.holdsData = !rate.isOpen;
      const packets = this.muxer.fill(this.#room);
      if (packets === 0) break;
      budget -= packets;
    }
    this.#signal(running);
    if (!rate.isOpen) this.#loop.noLaterThan(rate.opensAt);
    return budget <= 0;
  }

  /** Tells the guest that its connections are none, where the VMM leaves the event ring to us. */
  #tellReset(): void {
    const running = this.#rings[EVENTS];
    if (running === undefined || !running.enabled) return;
    const chain = new Chain(this.#queueSize);
    if (!running.ring.next(chain)) return void running.ring.enableKicks();
    this.#link.memory.table.write(chain.writable, 0, TRANSPORT_RESET);
    running.ring.use(chain.head, TRANSPORT_RESET.length);
    this.#signal(running);
    this.#owesReset = false;
  }

  #signal({ ring, call }: RunningRing): void {
    if (!ring.shouldSignal() || call === undefined) return;
    this.statistics.signals++;
    signalEvent(call);
  }

  /**
   * Ends the device: all connections, the VMM's too, and the socket files. What slow readers have not
   * read stays until {@link isDrained}, or {@link dropDraining}.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link.close();
    this.#host.close();
  }

  /** Whether the readers on the host have all that the guest has sent to them. */
  get isDrained(): boolean {
    return this.muxer.drainingCount === 0;
  }

  /** Closes what is left for slow readers, and logs how many bytes are lost. */
  dropDraining(): void {
    this.muxer.dropDraining();
    this.#reportLost();
  }
}
