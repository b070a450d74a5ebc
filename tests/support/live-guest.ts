/**
 * A guest that runs by itself, beside the test: its driver opens connections, moves bytes with credit,
 * and counts them.
 */
import { Feature } from "../../src/protocols/vhost-user/features.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  HOST_CID,
  Op,
  PacketHeader,
  PacketType,
  ShutdownFlag,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { RawVmm, RX, TestGuest, TX } from "./raw-vmm.ts";
import type { DriverRing } from "./vhost.ts";

const ENTRIES = 64;
/** Room of a packet: header and payload, in bytes. */
const PACKET_BYTES = 4096;
/** The descriptor is for writing; virtio 1.2, 2.7.5. */
const WRITE = 2;
/** What one of the guest's connections holds, in bytes. */
const BUFFER_BYTES = 256 * 1024;

/** One connection, as the guest sees it. */
export class GuestConnection {
  readonly hash = new Bun.CryptoHasher("sha256");
  received = 0;
  sent = 0;
  /** What is yet to be sent. */
  output = new Uint8Array(0);
  isOpen = false;
  /** The host has said its end, or a reset. */
  hasEnded = false;
  wasReset = false;
  peerBuffer = 0;
  peerForwarded = 0;
  toldForwarded = 0;
  /** What begins it and is yet to be sent. */
  opening: number = Op.Invalid;
  shutdown: "no" | "wanted" | "told" = "no";

  constructor(
    readonly guestPort: number,
    readonly hostPort: number,
  ) {}
}

/** A guest that answers each request of the host's with yes. */
export class LiveGuest implements Disposable {
  readonly #guest: TestGuest;
  readonly #rx: DriverRing;
  readonly #tx: DriverRing;
  readonly #header = new PacketHeader();
  readonly #connections = new Map<string, GuestConnection>();
  #rxUsed = 0;
  #txUsed = 0;
  #nextPort = 50_000;
  #hasSent = false;
  #ended = false;

  /** Connects as the VMM and starts the rings. */
  constructor(
    socket: string,
    readonly cid: number,
  ) {
    const features = Feature.Version1 | Feature.ProtocolFeatures;
    this.#guest = new TestGuest(new RawVmm(socket), { entries: ENTRIES, features });
    [this.#rx, this.#tx] = this.#guest.rings;
    this.#guest.start();
    for (let index = 0; index < ENTRIES; index++) {
      const address = this.#packetOf(RX, index);
      this.#rx.describe(index, { address, length: PACKET_BYTES, flags: WRITE });
      this.#rx.offer(index);
    }
    this.#guest.kick(RX);
    void this.#pump();
  }

  /** Where the packet of a descriptor is. */
  #packetOf(ring: 0 | 1, index: number): number {
    return this.#guest.data + (ring * ENTRIES + index) * PACKET_BYTES;
  }

  /** Connects to a service of the host's. */
  connect(hostPort: number): GuestConnection {
    const connection = new GuestConnection(this.#nextPort++, hostPort);
    this.#connections.set(`${hostPort}:${connection.guestPort}`, connection);
    connection.opening = Op.Request;
    return connection;
  }

  /** All connections there have been. */
  get connections(): GuestConnection[] {
    return [...this.#connections.values()];
  }

  get #txRoom(): number {
    return ENTRIES - ((this.#tx.available - this.#txUsed) & 0xffff);
  }

  #put(
    connection: GuestConnection,
    op: number,
    payload: Uint8Array = new Uint8Array(0),
    flags = 0,
  ): void {
    const index = this.#tx.available % ENTRIES;
    const address = this.#packetOf(TX, index);
    const header = this.#header;
    header.srcCid = this.cid;
    header.dstCid = HOST_CID;
    header.srcPort = connection.guestPort;
    header.dstPort = connection.hostPort;
    header.len = payload.length;
    header.type = PacketType.Stream;
    header.op = op;
    header.flags = flags;
    header.bufAlloc = BUFFER_BYTES;
    header.fwdCnt = connection.toldForwarded = connection.received >>> 0;
    header.write(this.#guest.view, address);
    this.#guest.bytes.set(payload, address + VIRTIO_VSOCK_HEADER_BYTES);
    this.#tx.describe(index, { address, length: VIRTIO_VSOCK_HEADER_BYTES + payload.length });
    this.#tx.offer(index);
    this.#hasSent = true;
  }

  async #pump(): Promise<void> {
    while (!this.#ended) {
      const moved = this.#takeReceived();
      this.#txUsed = this.#tx.usedIndex;
      this.#sendAll();
      const hasSent = this.#hasSent;
      this.#hasSent = false;
      if (hasSent) this.#guest.kick(TX);
      if (hasSent || moved) await new Promise((resolve) => setImmediate(resolve));
      else await Bun.sleep(1);
    }
  }

  #takeReceived(): boolean {
    const from = this.#rxUsed;
    while (this.#rxUsed !== this.#rx.usedIndex) {
      const { head } = this.#rx.used(this.#rxUsed);
      this.#rxUsed = (this.#rxUsed + 1) & 0xffff;
      this.#onPacket(this.#packetOf(RX, head));
      this.#rx.offer(head);
    }
    if (this.#rxUsed === from) return false;
    this.#guest.kick(RX);
    return true;
  }

  #onPacket(address: number): void {
    const header = this.#header;
    header.read(this.#guest.view, address);
    const { op, len, srcPort, dstPort, bufAlloc, fwdCnt, flags } = header;
    let connection = this.#connections.get(`${srcPort}:${dstPort}`);
    if (op === Op.Request) {
      connection = new GuestConnection(dstPort, srcPort);
      connection.isOpen = true;
      this.#connections.set(`${srcPort}:${dstPort}`, connection);
      connection.opening = Op.Response;
    }
    if (connection === undefined) return;
    connection.peerBuffer = bufAlloc;
    connection.peerForwarded = fwdCnt;
    if (op === Op.Response) connection.isOpen = true;
    if (op === Op.Rw) {
      const begin = address + VIRTIO_VSOCK_HEADER_BYTES;
      connection.hash.update(this.#guest.bytes.slice(begin, begin + len));
      connection.received += len;
    }
    if (op === Op.Rst) connection.wasReset = true;
    if (op === Op.Rst || (op === Op.Shutdown && (flags & ShutdownFlag.Send) !== 0)) {
      connection.hasEnded = true;
    }
  }

  #sendAll(): void {
    for (const connection of this.#connections.values()) {
      // One packet each at least, in turns.
      if (this.#txRoom < 4) return;
      if (connection.wasReset) continue;
      if (connection.opening !== Op.Invalid) this.#put(connection, connection.opening);
      connection.opening = Op.Invalid;
      if (connection.isOpen) this.#sendOf(connection);
    }
  }

  #sendOf(connection: GuestConnection): void {
    while (connection.output.length > 0 && this.#txRoom >= 4) {
      const unread = (connection.sent - connection.peerForwarded) >>> 0;
      const room = Math.max(0, connection.peerBuffer - unread);
      const count = Math.min(
        connection.output.length,
        room,
        PACKET_BYTES - VIRTIO_VSOCK_HEADER_BYTES,
      );
      if (count === 0) break;
      this.#put(connection, Op.Rw, connection.output.subarray(0, count));
      connection.output = connection.output.subarray(count);
      connection.sent += count;
    }
    const untold = connection.received - connection.toldForwarded;
    if (untold > BUFFER_BYTES / 2) this.#put(connection, Op.CreditUpdate);
    if (connection.output.length === 0 && connection.shutdown === "wanted") {
      connection.shutdown = "told";
      this.#put(connection, Op.Shutdown, undefined, ShutdownFlag.Send);
    }
  }

  /** The VMM dies. */
  [Symbol.dispose](): void {
    this.#ended = true;
    this.#guest.close();
  }
}
