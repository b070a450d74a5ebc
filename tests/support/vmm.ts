/** A VMM and the driver of its guest in one, against a vhost-user vsock device that runs elsewhere. */
import { openEvent, signalEvent } from "../../src/ffi/eventfd.ts";
import { mapShared, type SharedMapping } from "../../src/ffi/mmap.ts";
import { sendWithDescriptors } from "../../src/ffi/scm-rights.ts";
import { AF_UNIX, encodeSockaddrUn } from "../../src/ffi/sockaddr.ts";
import { closeDescriptor, openSocket, SOCK_STREAM, startConnect } from "../../src/ffi/socket.ts";
import {
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../src/protocols/vhost-user/encode.ts";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
} from "../../src/protocols/vhost-user/features.ts";
import type { RequestName } from "../../src/protocols/vhost-user/wire.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  HOST_CID,
  Op,
  PacketHeader,
  PacketType,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { eventually } from "./binary.ts";
import { openMemory } from "./memfd.ts";
import { DriverRing } from "./vhost.ts";

const ENTRIES = 64;
const RING_BYTES = 0x1_0000;
const RX = 0;
const TX = 1;
const RINGS = 3;
/** One buffer an entry, for each of the two rings. */
const BUFFER_BYTES = 0x1000;
const RX_BUFFERS = RINGS * RING_BYTES;
const TX_BUFFERS = RX_BUFFERS + ENTRIES * BUFFER_BYTES;
const MEMORY_BYTES = TX_BUFFERS + ENTRIES * BUFFER_BYTES;
const WRITE = 2;

/** A packet that the guest sends. What is not given is as in a stream to the host with room. */
export interface GuestPacket {
  op: number;
  /** PacketType; a stream where it is not given. */
  type?: number;
  /** The guest's. */
  srcPort: number;
  dstPort: number;
  payload?: Uint8Array;
  flags?: number;
  bufAlloc?: number;
  fwdCnt?: number;
}

/** A packet that the guest was given. */
export interface HostPacket {
  header: PacketHeader;
  payload: Uint8Array;
}

/** Is connected, with a driver that has given the device all its buffers. */
export class TestVmm implements Disposable {
  readonly #socket: number;
  readonly #memory: SharedMapping;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #rings: DriverRing[] = [];
  readonly #kicks: number[] = [];
  readonly #open: number[] = [];
  #received = 0;
  #sent = 0;

  /** @param path the device's `--socket`. */
  constructor(
    path: string,
    readonly guestCid: number,
  ) {
    const memory = this.#own(openMemory(MEMORY_BYTES));
    this.#memory = mapShared(memory, 0, MEMORY_BYTES);
    this.#bytes = this.#memory.view(0, MEMORY_BYTES);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, MEMORY_BYTES);
    this.#socket = this.#own(openSocket(AF_UNIX, SOCK_STREAM, path));
    const errno = startConnect(this.#socket, encodeSockaddrUn(path));
    if (errno !== 0) throw new Error(`connect ${path}: errno ${errno}`);

    this.#request("SET_OWNER");
    this.#request("SET_PROTOCOL_FEATURES", encodeU64(DEFAULT_PROTOCOL_FEATURES));
    this.#request("SET_FEATURES", encodeU64(DEFAULT_FEATURES));
    const region = { guestAddress: 0, size: MEMORY_BYTES, userAddress: 0, mmapOffset: 0 };
    this.#request("SET_MEM_TABLE", encodeRegions([region]), [memory]);
    for (let ring = 0; ring < RINGS; ring++) this.#startRing(ring);
    for (let entry = 0; entry < ENTRIES; entry++) this.#offerRoom(entry);
    this.#kick(RX);
  }

  #own(fd: number): number {
    if (fd < 0) throw new Error("no descriptor");
    this.#open.push(fd);
    return fd;
  }

  #request(
    name: RequestName,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
  ): void {
    sendWithDescriptors(this.#socket, encodeRequest(name, payload), fds);
  }

  #startRing(index: number): void {
    const ring = new DriverRing(this.#view, ENTRIES, index * RING_BYTES);
    const kick = this.#own(openEvent());
    this.#rings.push(ring);
    this.#kicks.push(kick);
    this.#request("SET_VRING_NUM", encodeVringState(index, ENTRIES));
    this.#request("SET_VRING_BASE", encodeVringState(index, 0));
    this.#request("SET_VRING_ADDR", encodeVringAddresses(index, ring.addresses));
    this.#request("SET_VRING_CALL", encodeRingDescriptor(index), [this.#own(openEvent())]);
    this.#request("SET_VRING_KICK", encodeRingDescriptor(index), [kick]);
    this.#request("SET_VRING_ENABLE", encodeVringState(index, 1));
  }

  #ring(index: number): DriverRing {
    const ring = this.#rings[index];
    if (ring === undefined) throw new Error(`no ring ${index}`);
    return ring;
  }

  #kick(index: number): void {
    signalEvent(this.#kicks[index] ?? -1);
  }

  #offerRoom(entry: number): void {
    const ring = this.#ring(RX);
    const address = RX_BUFFERS + entry * BUFFER_BYTES;
    ring.describe(entry, { address, length: BUFFER_BYTES, flags: WRITE });
    // Every chain is worth an interrupt.
    ring.setUsedEvent(this.#received);
    ring.offer(entry);
  }

  /** Sends a packet of the guest; its payload has to fit into one buffer. */
  async send(packet: GuestPacket): Promise<void> {
    const { payload = new Uint8Array(0) } = packet;
    const ring = this.#ring(TX);
    await eventually(
      "room in the tx ring",
      () => ((this.#sent - ring.usedIndex) & 0xffff) < ENTRIES,
    );
    const entry = this.#sent % ENTRIES;
    const address = TX_BUFFERS + entry * BUFFER_BYTES;
    const header = new PacketHeader();
    header.srcCid = this.guestCid;
    header.dstCid = HOST_CID;
    header.srcPort = packet.srcPort;
    header.dstPort = packet.dstPort;
    header.len = payload.length;
    header.type = packet.type ?? PacketType.Stream;
    header.op = packet.op;
    header.flags = packet.flags ?? 0;
    header.bufAlloc = packet.bufAlloc ?? 0x1_0000;
    header.fwdCnt = packet.fwdCnt ?? 0;
    header.write(this.#view, address);
    this.#bytes.set(payload, address + VIRTIO_VSOCK_HEADER_BYTES);
    ring.describe(entry, { address, length: VIRTIO_VSOCK_HEADER_BYTES + payload.length });
    ring.offer(entry);
    this.#sent = (this.#sent + 1) & 0xffff;
    this.#kick(TX);
  }

  /** The next packet for the guest. */
  async receive(): Promise<HostPacket> {
    const ring = this.#ring(RX);
    await eventually("a packet for the guest", () => ring.usedIndex !== this.#received);
    const { head, length } = ring.used(this.#received);
    const address = RX_BUFFERS + head * BUFFER_BYTES;
    const header = new PacketHeader();
    header.read(this.#view, address);
    const payload = this.#bytes.slice(address + VIRTIO_VSOCK_HEADER_BYTES, address + length);
    this.#received = (this.#received + 1) & 0xffff;
    this.#offerRoom(head);
    this.#kick(RX);
    return { header, payload };
  }

  /** Takes a connection of the host: its request, which is answered with `bufAlloc`. */
  async accept(bufAlloc: number): Promise<PacketHeader> {
    const { header } = await this.receive();
    if (header.op !== Op.Request) throw new Error(`op ${header.op} is no request`);
    const ports = { srcPort: header.dstPort, dstPort: header.srcPort };
    await this.send({ op: Op.Response, type: header.type, ...ports, bufAlloc });
    return header;
  }

  /** Sends bytes that are no message: the device drops this VMM. */
  misbehave(): void {
    sendWithDescriptors(this.#socket, new Uint8Array(12).fill(0xff), []);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.splice(0)) closeDescriptor(fd);
    this.#memory.unmap();
  }
}
