/** A vsock device for one VM: the VMM's connection, the rings, and the connections of the guest. */
import { reasonOf, toVsockboxError } from "../errors.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ffi/epoll.ts";
import { ERRNO } from "../ffi/errno.ts";
import { adoptEvent, clearEvent, signalEvent } from "../ffi/eventfd.ts";
import { IoVector } from "../ffi/iovec.ts";
import { receiveWithDescriptors } from "../ffi/receive.ts";
import { acceptSocket, closeDescriptor, writeDescriptor } from "../ffi/socket.ts";
import { openUnixListener, type UnixListener } from "../net/listen.ts";
import { encodeOk } from "../protocols/hybrid/connect-line.ts";
import {
  descriptorsOf,
  Feature,
  type RingSetup,
  type VhostAction,
  VhostBackend,
} from "../protocols/vhost-user/backend.ts";
import { MessageReader, type VhostMessage } from "../protocols/vhost-user/messages.ts";
import { HEADER_BYTES, PacketHeader } from "../protocols/virtio-vsock/packet.ts";
import type { EventLoop } from "./event-loop.ts";
import { GuestMemory } from "./guest-memory.ts";
import type { HostConnection, Payload } from "./host-connection.ts";
import { Muxer, type MuxerHost } from "./muxer.ts";
import { UnixBackend } from "./unix-backend.ts";
import { Chain, Vring } from "./vring.ts";

/** The rings of a vsock device. */
const RX = 0;
const TX = 1;
const EVENTS = 2;

/** Packets of one VM before the others have a turn. */
const PACKETS_PER_ROUND = 512;

/** What a device is made of. */
export interface DeviceOptions {
  guestCid: number;
  /** Where the VMM connects. */
  socket: string;
  udsPath: string;
  /** Our buffer for each connection's bytes from the guest. */
  txBufferSize: number;
  /** Largest ring that is accepted. */
  queueSize: number;
}

/** What a device says of itself. */
export interface DeviceLog {
  info(message: string): void;
  warn(message: string): void;
}

/** A ring that runs. */
interface RunningRing {
  ring: Vring;
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
export class VsockDevice implements MuxerHost {
  readonly guestCid: number;
  readonly bufAlloc: number;
  readonly muxer = new Muxer(this);
  readonly #options: DeviceOptions;
  readonly #loop: EventLoop;
  readonly #log: DeviceLog;
  readonly #listener: UnixListener;
  readonly #clients: UnixBackend;
  readonly #memory = new GuestMemory();
  readonly #rings: (RunningRing | undefined)[] = [undefined, undefined, undefined];
  readonly #backend: VhostBackend;
  readonly #header = new PacketHeader();
  readonly #headerBytes = new Uint8Array(new ArrayBuffer(HEADER_BYTES));
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #chain: Chain;
  readonly #vector = new IoVector();
  readonly #payload: Payload;
  /** Where the rings were when they stopped: a pause goes on there, a new driver does not. */
  readonly #stoppedAt: number[] = [0, 0, 0];
  #vmm: number | undefined;
  #reader = new MessageReader();

  /**
   * Makes the sockets.
   *
   * @throws {VsockboxError} CANNOT_CREATE.
   */
  constructor(options: DeviceOptions, loop: EventLoop, log: DeviceLog) {
    this.#options = options;
    this.guestCid = options.guestCid;
    this.bufAlloc = options.txBufferSize;
    this.#loop = loop;
    this.#log = log;
    this.#chain = new Chain(options.queueSize);
    this.#payload = new ChainPayload(this.#chain, this.#vector, this.#memory);
    this.#backend = new VhostBackend({
      config: configOf(options.guestCid),
      maxRingEntries: options.queueSize,
      lastAvailable: (ring) => this.#rings[ring]?.ring.lastAvailable ?? 0,
    });
    this.#listener = openUnixListener({ kind: "unix", path: options.socket });
    try {
      this.#clients = new UnixBackend(loop, options.udsPath, (fd, port) => this.#dial(fd, port));
    } catch (thrown) {
      this.#closeListener();
      throw thrown;
    }
    loop.add(this.#listener.fd, EPOLLIN, () => this.#accept());
    loop.eachRound(() => this.#round());
  }

  #closeListener(): void {
    closeDescriptor(this.#listener.fd);
    this.#listener.removeFile();
  }

  /** Whether a guest's driver is there to take packets. */
  get isReady(): boolean {
    return this.#rings[RX] !== undefined && this.#rings[TX] !== undefined;
  }

  // The VMM.

  #accept(): void {
    const call = { operation: "accept on", address: this.#options.socket };
    for (;;) {
      const fd = acceptSocket(this.#listener.fd, call);
      if (fd === undefined) return;
      if (this.#vmm !== undefined) {
        this.#log.warn("a second VMM was turned away: the device has one");
        closeDescriptor(fd);
        continue;
      }
      this.#vmm = fd;
      this.#reader = new MessageReader();
      this.#log.info("the VMM has connected");
      this.#loop.add(fd, EPOLLIN | EPOLLRDHUP, () => this.#onVmm(fd));
    }
  }

  #onVmm(fd: number): void {
    try {
      for (;;) {
        const buffer = new Uint8Array(this.#reader.wanted);
        const { count, fds } = receiveWithDescriptors(fd, buffer);
        if (count === -ERRNO.EAGAIN) return;
        if (count <= 0) return this.#dropVmm("the VMM has disconnected");
        const message = this.#reader.push(buffer.subarray(0, count), fds);
        if (message !== undefined) this.#onMessage(fd, message);
      }
    } catch (thrown) {
      this.#dropVmm(`the VMM was dropped: ${reasonOf(thrown).message}`);
    }
  }

  #onMessage(fd: number, message: VhostMessage): void {
    let actions: VhostAction[];
    try {
      actions = this.#backend.handle(message);
    } catch (thrown) {
      const refusal = this.#backend.refusal(message);
      if (refusal !== undefined) writeDescriptor(fd, refusal);
      for (const given of message.fds) closeDescriptor(given);
      throw thrown;
    }
    this.#carryOut(actions);
  }

  #carryOut(actions: VhostAction[]): void {
    for (const [index, action] of actions.entries()) {
      try {
        this.#do(action);
      } catch (thrown) {
        for (const left of actions.slice(index + 1)) {
          for (const fd of descriptorsOf(left)) closeDescriptor(fd);
        }
        throw thrown;
      }
    }
  }

  #do(action: VhostAction): void {
    switch (action.kind) {
      case "reply":
        if (this.#vmm !== undefined) writeDescriptor(this.#vmm, action.bytes);
        return;
      case "map-table":
        return this.#memory.replace(action.regions);
      case "add-region":
        return this.#memory.add(action.region);
      case "remove-region":
        return this.#memory.remove(action.region);
      case "start":
        return this.#start(action.ring, action.setup);
      case "stop":
        return this.#stop(action.ring);
      case "enable": {
        const running = this.#rings[action.ring];
        if (running !== undefined) running.enabled = action.enabled;
        return;
      }
      case "kick": {
        const running = this.#rings[action.ring];
        if (running === undefined) return;
        this.#loop.remove(running.kick);
        running.kick = action.fd;
        return this.#watchKick(action.fd);
      }
      case "call": {
        const running = this.#rings[action.ring];
        if (action.fd !== undefined) adoptEvent(action.fd);
        if (running !== undefined) running.call = action.fd;
        return;
      }
      case "close":
        this.#loop.remove(action.fd);
        return closeDescriptor(action.fd);
      case "err":
      case "features":
      case "reset":
    }
  }

  #start(index: number, setup: RingSetup): void {
    const { features } = this.#backend;
    const ring = new Vring(this.#memory.table, {
      name: `ring ${index}`,
      entries: setup.entries,
      addresses: setup.addresses,
      base: setup.base,
      eventIndex: (features & Feature.EventIndex) !== 0n,
      notifyOnEmpty: (features & Feature.NotifyOnEmpty) !== 0n,
    });
    if (setup.call !== undefined) adoptEvent(setup.call);
    this.#rings[index] = { ring, kick: setup.kick, call: setup.call, enabled: true };
    // A paused guest goes on where it was; a new driver knows none of the connections.
    if (index !== EVENTS && setup.base !== this.#stoppedAt[index]) this.muxer.clear();
    this.#watchKick(setup.kick);
    if (index !== EVENTS && this.isReady) this.#log.info("the guest's driver is there");
  }

  #watchKick(fd: number): void {
    adoptEvent(fd);
    this.#loop.add(fd, EPOLLIN, () => {
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

  #dropVmm(why: string): void {
    const fd = this.#vmm;
    if (fd === undefined) return;
    this.#log.info(why);
    for (const given of this.#reader.takeDescriptors()) closeDescriptor(given);
    try {
      this.#carryOut(this.#backend.end());
    } finally {
      this.#vmm = undefined;
      this.#loop.remove(fd);
      closeDescriptor(fd);
      this.muxer.clear();
      this.#stoppedAt.fill(0);
    }
  }

  // The host's side.

  /** Connects for a request of the guest. */
  connect(port: number): number | undefined {
    return this.#clients.connect(port);
  }

  /** Begins to watch a connection's socket. */
  watch(connection: HostConnection): void {
    const events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    this.#loop.add(connection.fd, events, (seen) => {
      this.muxer.onSocket(connection, {
        readable: (seen & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0,
        writable: (seen & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0,
        gone: (seen & (EPOLLHUP | EPOLLERR)) !== 0,
      });
    });
  }

  /** Stops to watch it. */
  unwatch(connection: HostConnection): void {
    this.#loop.remove(connection.fd);
  }

  #dial(fd: number, port: number): void {
    const connection = this.isReady ? this.muxer.open(fd, port) : undefined;
    if (connection === undefined) return closeDescriptor(fd);
    connection.onOpened = () => {
      writeDescriptor(fd, encodeOk(connection.machine.hostPort));
    };
  }

  // The rings.

  #round(): void {
    const now = performance.now();
    this.#clients.onTime(now);
    this.muxer.onTime(now);
    try {
      // What the guest sent may have answers, and these room again for more of it.
      const left = this.#transmit();
      if (this.#receive() || left) this.#loop.again();
    } catch (thrown) {
      // A broken ring is the end of this VM's device, not of the process.
      this.#dropVmm(`the device has stopped: ${toVsockboxError(thrown, "serve rings").message}`);
    }
  }

  /** Takes packets of the guest; true where there are more than fit into a round. */
  #transmit(): boolean {
    const running = this.#rings[TX];
    if (running === undefined || !running.enabled) return false;
    const { ring } = running;
    let budget = PACKETS_PER_ROUND;
    do {
      while (budget > 0 && ring.next(this.#chain)) {
        budget--;
        this.#onChain();
        ring.use(this.#chain.head, 0);
      }
    } while (budget > 0 && ring.enableKicks());
    this.#signal(running);
    return budget === 0;
  }

  #onChain(): void {
    const { readable } = this.#chain;
    if (this.#memory.table.read(readable, 0, this.#headerBytes) < HEADER_BYTES) return;
    this.#header.read(this.#headerView, 0);
    this.muxer.onPacket(this.#header, this.#payload);
  }

  /** Gives packets to the guest; true where there is more to give and room for it. */
  #receive(): boolean {
    const running = this.#rings[RX];
    if (running === undefined || !running.enabled) return false;
    const { ring } = running;
    let budget = PACKETS_PER_ROUND;
    while (budget > 0 && this.muxer.hasPending) {
      if (!ring.peek(this.#chain)) {
        if (ring.enableKicks()) continue;
        break;
      }
      const bytes = this.muxer.fill(this.#header, this.#payload);
      if (bytes < 0) break;
      budget--;
      this.#header.write(this.#headerView, 0);
      this.#memory.table.write(this.#chain.writable, 0, this.#headerBytes);
      ring.take();
      ring.use(this.#chain.head, HEADER_BYTES + bytes);
    }
    this.#signal(running);
    return budget === 0;
  }

  #signal({ ring, call }: RunningRing): void {
    if (ring.shouldSignal() && call !== undefined) signalEvent(call);
  }

  /** Ends the device: all connections, the VMM's too, and the socket files. */
  close(): void {
    this.#dropVmm("the device ends");
    this.#loop.remove(this.#listener.fd);
    this.#closeListener();
    this.#clients.close();
  }
}

/** The payload of the chain that is being worked on: behind the header, whichever way it goes. */
class ChainPayload implements Payload {
  readonly #chain: Chain;
  readonly #memory: GuestMemory;
  readonly vector: IoVector;

  constructor(chain: Chain, vector: IoVector, memory: GuestMemory) {
    this.#chain = chain;
    this.vector = vector;
    this.#memory = memory;
  }

  get #pieces() {
    const { readable, writable } = this.#chain;
    return readable.bytes > 0 ? readable : writable;
  }

  get bytes(): number {
    return Math.max(0, this.#pieces.bytes - HEADER_BYTES);
  }

  limit(bytes: number): void {
    this.vector.clear();
    this.#pieces.pushTo(this.vector, HEADER_BYTES, bytes);
  }

  copyTo(target: Uint8Array, skip: number): void {
    this.#memory.table.read(this.#pieces, HEADER_BYTES + skip, target);
  }
}
