/** A guest's vsock driver for tests: packets over the two rings of a {@link TestGuest}. */
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  HOST_CID,
  PacketHeader,
} from "../../src/protocols/virtio-vsock/packet.ts";
import { RX, type TestGuest, TX } from "./raw-vmm.ts";
import type { DriverRing } from "./vhost.ts";

const NEXT = 1;
const WRITE = 2;

/** Fields of a packet; what is left out is a stream's to the host. */
export type PacketFields = Partial<
  Omit<PacketHeader, "read" | "write"> & { payload: Uint8Array; pieces: number }
>;

/** A packet of the device. */
export interface Received {
  header: PacketHeader;
  /** In the guest's memory: valid until the buffer is given back. */
  payload: Uint8Array;
}

/** What the guest grants a connection unless a packet says otherwise, in bytes. */
export const BUF_ALLOC = 65_536;

/** Room for packets to the device, in bytes: half of it at once. */
const SEND_BYTES = 256 * 1024;

/** Receives into so many buffers of so many bytes. */
const BUFFERS = 32;
export const BUFFER_BYTES = 8192;

/** The parts of a guest that its driver uses. */
export type DriverGuest = Pick<TestGuest, "bytes" | "data" | "kick" | "view"> & {
  readonly rings: readonly [rx: DriverRing, tx: DriverRing, ...others: DriverRing[]];
};

/** Sends and receives packets. */
export class VsockDriver<Guest extends DriverGuest = TestGuest> {
  readonly guest: Guest;
  readonly guestCid: number;
  /** How many buffers the device has. */
  posted = 0;
  #sendAt = 0;
  #descriptor = 0;
  #seenUsed: number;
  readonly #buffers: number;

  constructor(guest: Guest, guestCid: number) {
    this.guest = guest;
    this.guestCid = guestCid;
    this.#seenUsed = guest.rings[RX].usedIndex;
    this.#buffers = Math.min(BUFFERS, guest.rings[RX].entries);
  }

  get #receiveBase(): number {
    return this.guest.data + SEND_BYTES;
  }

  /** How many packets the device has not taken yet. */
  get unsent(): number {
    const ring = this.guest.rings[TX];
    return (ring.available - ring.usedIndex) & 0xffff;
  }

  /** Gives the device all of the buffers that it has not. */
  post(): void {
    const ring = this.guest.rings[RX];
    if (this.posted === this.#buffers) return;
    while (this.posted < this.#buffers) {
      const slot = ring.available % this.#buffers;
      const address = this.#receiveBase + slot * BUFFER_BYTES;
      ring.describe(slot, { address, length: BUFFER_BYTES, flags: WRITE });
      ring.offer(slot);
      this.posted++;
    }
    this.guest.kick(RX);
  }

  /** Sends a packet, header and payload in so many pieces that do not touch. */
  send(fields: PacketFields): void {
    const { payload = new Uint8Array(0), pieces = 0, ...given } = fields;
    const header = Object.assign(new PacketHeader(), {
      srcCid: this.guestCid,
      dstCid: HOST_CID,
      type: 1,
      len: payload.length,
      bufAlloc: BUF_ALLOC,
      ...given,
    });
    const bytes = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES + payload.length);
    header.write(new DataView(bytes.buffer), 0);
    bytes.set(payload, VIRTIO_VSOCK_HEADER_BYTES);
    this.sendBytes(bytes, pieces);
  }

  /** Sends bytes as one chain; the header's end is the first piece's. */
  sendBytes(bytes: Uint8Array, pieces = 0): void {
    const ring = this.guest.rings[TX];
    const room = bytes.length + pieces + 64;
    if (this.#sendAt + room > SEND_BYTES) this.#sendAt = 0;
    const head = this.#descriptor % ring.entries;
    const most = Math.max(1, Math.min(pieces, ring.entries - 1, bytes.length));
    let from = 0;
    for (let piece = 0; piece < most; piece++) {
      const isLast = piece === most - 1;
      const length = isLast ? bytes.length - from : Math.ceil(bytes.length / most);
      const taken = Math.min(length, bytes.length - from);
      const address = this.guest.data + this.#sendAt;
      this.guest.bytes.set(bytes.subarray(from, from + taken), address);
      from += taken;
      this.#sendAt += taken + 1;
      const slot = this.#descriptor++ % ring.entries;
      const next = this.#descriptor % ring.entries;
      ring.describe(slot, { address, length: taken, flags: isLast ? 0 : NEXT, next });
    }
    ring.offer(head);
    this.guest.kick(TX);
  }

  /** The next packet of the device; undefined where there is none. */
  receive(): Received | undefined {
    const ring = this.guest.rings[RX];
    if (ring.usedIndex === this.#seenUsed) return undefined;
    const { head, length } = ring.used(this.#seenUsed);
    this.#seenUsed = (this.#seenUsed + 1) & 0xffff;
    this.posted--;
    const at = Number(this.guest.view.getBigUint64(head * 16, true));
    const header = new PacketHeader();
    header.read(this.guest.view, at);
    return {
      header,
      payload: this.guest.bytes.subarray(
        at + VIRTIO_VSOCK_HEADER_BYTES,
        at + Math.max(length, VIRTIO_VSOCK_HEADER_BYTES),
      ),
    };
  }
}
