/**
 * A VMM and a guest for a vhost-user vsock device, in the test's own process: enough of a driver to
 * open connections, move bytes with credit, and count. One ring a direction, no event index.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { ftruncateSync } from "node:fs";
import { openEvent, signalEvent } from "../../src/ffi/eventfd.ts";
import { cString, LIBC_NAMES } from "../../src/ffi/libc.ts";
import { mapShared } from "../../src/ffi/mmap.ts";
import { AF_UNIX, encodeSockaddrUn } from "../../src/ffi/sockaddr.ts";
import {
  closeDescriptor,
  openSocket,
  POLLIN,
  pollDescriptor,
  readDescriptor,
  SOCK_STREAM,
  startConnect,
} from "../../src/ffi/socket.ts";
import { Feature } from "../../src/protocols/vhost-user/backend.ts";
import {
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
  type RequestName,
} from "../../src/protocols/vhost-user/messages.ts";
import {
  HEADER_BYTES,
  HOST_CID,
  Op,
  PacketHeader,
  PacketType,
  ShutdownFlag,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { DriverRing } from "./vhost.ts";

const { memfd_create, sendmsg } = dlopen(LIBC_NAMES[0], {
  memfd_create: { args: [FFIType.pointer, FFIType.u32], returns: FFIType.i32 },
  sendmsg: { args: [FFIType.i32, FFIType.pointer, FFIType.i32], returns: FFIType.i64 },
}).symbols;

const ENTRIES = 64;
/** Room of a packet: header and payload, in bytes. */
const PACKET_BYTES = 4096;
const RX_RING = 0;
const TX_RING = 0x4000;
const RX_PACKETS = 0x1_0000;
const TX_PACKETS = RX_PACKETS + ENTRIES * PACKET_BYTES;
const MEMORY_BYTES = TX_PACKETS + ENTRIES * PACKET_BYTES;
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
export class TestGuest implements Disposable {
  readonly #fd: number;
  readonly #memory = memfd_create(ptr(cString("guest")), 1);
  readonly #mapping;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rx: DriverRing;
  readonly #tx: DriverRing;
  readonly #kicks = [openEvent(), openEvent()];
  readonly #calls = [openEvent(), openEvent()];
  readonly #header = new PacketHeader();
  readonly #connections = new Map<string, GuestConnection>();
  #rxUsed = 0;
  #txUsed = 0;
  #nextPort = 50_000;
  #hasSent = false;
  #ended = false;
  readonly #pumping: Promise<void>;
  /** Packets that carried no data, to the guest. */
  controlPackets = 0;

  /** Connects as the VMM and starts the rings. */
  constructor(
    socket: string,
    readonly cid: number,
  ) {
    ftruncateSync(this.#memory, MEMORY_BYTES);
    this.#mapping = mapShared(this.#memory, 0, MEMORY_BYTES);
    this.#bytes = this.#mapping.view(0, MEMORY_BYTES);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, MEMORY_BYTES);
    this.#rx = new DriverRing(this.#view, ENTRIES, RX_RING);
    this.#tx = new DriverRing(this.#view, ENTRIES, TX_RING);
    this.#fd = openSocket(AF_UNIX, SOCK_STREAM, socket);
    const errno = startConnect(this.#fd, encodeSockaddrUn(socket));
    if (errno !== 0) throw new Error(`connect ${socket}: errno ${errno}`);
    this.#handshake();
    for (let index = 0; index < ENTRIES; index++) {
      this.#rx.describe(index, this.#rxDescriptor(index));
      this.#rx.offer(index);
    }
    this.#kick(0);
    this.#pumping = this.#pump();
  }

  #rxDescriptor(index: number) {
    return { address: RX_PACKETS + index * PACKET_BYTES, length: PACKET_BYTES, flags: WRITE };
  }

  #handshake(): void {
    this.#ask("GET_FEATURES");
    this.#send("SET_FEATURES", encodeU64(Feature.Version1));
    this.#send("SET_OWNER");
    const region = { guestAddress: 0, userAddress: 0, size: MEMORY_BYTES, mmapOffset: 0 };
    this.#send("SET_MEM_TABLE", encodeRegions([region]), this.#memory);
    for (const [index, ring] of [this.#rx, this.#tx].entries()) {
      this.#send("SET_VRING_NUM", encodeVringState(index, ENTRIES));
      this.#send("SET_VRING_BASE", encodeVringState(index, 0));
      this.#send("SET_VRING_ADDR", encodeVringAddresses(index, ring.addresses));
      this.#send("SET_VRING_CALL", encodeRingDescriptor(index), this.#calls[index]);
      this.#send("SET_VRING_KICK", encodeRingDescriptor(index), this.#kicks[index]);
    }
    // Its answer says that all before it has been done.
    this.#ask("GET_FEATURES");
  }

  #send(name: RequestName, payload: Uint8Array = new Uint8Array(0), fd?: number): void {
    const data = encodeRequest(name, payload);
    const iovec = BigUint64Array.of(BigInt(ptr(data)), BigInt(data.length));
    const control = new DataView(new ArrayBuffer(24));
    // cmsg(3): a header of 16 bytes, SOL_SOCKET, SCM_RIGHTS, the descriptor.
    control.setBigUint64(0, 20n, true);
    control.setInt32(8, 1, true);
    control.setInt32(12, 1, true);
    control.setInt32(16, fd ?? -1, true);
    const message = new DataView(new ArrayBuffer(56));
    message.setBigUint64(16, BigInt(ptr(iovec)), true);
    message.setBigUint64(24, 1n, true);
    if (fd !== undefined) {
      message.setBigUint64(32, BigInt(ptr(control)), true);
      message.setBigUint64(40, 24n, true);
    }
    const sent = Number(sendmsg(this.#fd, ptr(message), 0));
    if (sent !== data.length) throw new Error(`${name}: the device is gone`);
  }

  #ask(name: RequestName): void {
    this.#send(name);
    pollDescriptor(this.#fd, POLLIN, 30_000);
    if (readDescriptor(this.#fd, new Uint8Array(20)) !== 20) throw new Error(`${name}: no answer`);
  }

  #kick(ring: 0 | 1): void {
    signalEvent(this.#kicks[ring] ?? -1);
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
    const address = TX_PACKETS + index * PACKET_BYTES;
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
    header.write(this.#view, address);
    this.#bytes.set(payload, address + HEADER_BYTES);
    this.#tx.describe(index, { address, length: HEADER_BYTES + payload.length });
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
      if (hasSent) this.#kick(1);
      if (hasSent || moved) await new Promise((resolve) => setImmediate(resolve));
      else await Bun.sleep(1);
    }
  }

  #takeReceived(): boolean {
    const from = this.#rxUsed;
    while (this.#rxUsed !== this.#rx.usedIndex) {
      const { head } = this.#rx.used(this.#rxUsed);
      this.#rxUsed = (this.#rxUsed + 1) & 0xffff;
      this.#onPacket(RX_PACKETS + head * PACKET_BYTES);
      this.#rx.offer(head);
    }
    if (this.#rxUsed === from) return false;
    this.#kick(0);
    return true;
  }

  #onPacket(address: number): void {
    const header = this.#header;
    header.read(this.#view, address);
    const { op, len, srcPort, dstPort, bufAlloc, fwdCnt, flags } = header;
    if (op !== Op.Rw) this.controlPackets++;
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
      const begin = address + HEADER_BYTES;
      connection.hash.update(this.#bytes.slice(begin, begin + len));
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
      const count = Math.min(connection.output.length, room, PACKET_BYTES - HEADER_BYTES);
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
    closeDescriptor(this.#fd);
    for (const fd of [...this.#kicks, ...this.#calls, this.#memory]) closeDescriptor(fd);
    void this.#pumping.finally(() => this.#mapping.unmap());
  }
}
