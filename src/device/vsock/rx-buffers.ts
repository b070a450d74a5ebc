/**
 * RX buffers: the chains that the guest's driver offers in the RX queue, each for one packet (header and
 * payload; virtio 1.2, 5.10.6).
 *
 * `peek` reads the next chain without consuming it; `vector` reads more of them if needed. Payload goes
 * into the chains first, by readv(2) or a copy, and `put` then writes the header, which returns the chain
 * to the driver. Chains that are not used stay known, so each descriptor is read once.
 *
 * Linux offers buffers of 4 KiB, so one system call fills up to {@link MAX_CHAINS} of them.
 */
import { VsockboxError } from "../../errors.ts";
import { copyMemory } from "../../ffi/memory-copy.ts";
import { IoVector } from "../../ffi/iovec.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  type PacketHeader,
} from "../../protocols/virtio-vsock/packet.ts";
import { forEachPair, type MemoryTable, type PieceList } from "../vhost-user/memory-table.ts";
import type { PacketTap } from "./packet-tap.ts";
import type { TokenBucket } from "./token-bucket.ts";
import { Chain, type Virtqueue } from "../vhost-user/virtqueue.ts";

/** Limit of chains that one system call fills. */
export const MAX_CHAINS = 32;

/** The next chains of the RX queue. */
export class RxBuffers {
  readonly #table: MemoryTable;
  readonly #chains: readonly Chain[];
  readonly #vector = new IoVector();
  readonly #headerBytes = new Uint8Array(new ArrayBuffer(VIRTIO_VSOCK_HEADER_BYTES));
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #rate: TokenBucket;
  #queue: Virtqueue | undefined;
  /** The memory table's generation when the chains were read: a change makes their addresses invalid. */
  #generation = -1;
  /** Index of the next chain in `#chains`, which is used as a ring. */
  #first = 0;
  /** How many chains have been read and not used. */
  #count = 0;
  /** Packets whose header and payload are in one descriptor: Linux from 6.2 on. */
  singleDescriptorPackets = 0;
  /** Receives every packet. */
  tap: PacketTap | undefined;

  /**
   * @param entries size of the largest queue.
   * @param rate limit of the payload to the guest.
   */
  constructor(table: MemoryTable, entries: number, rate: TokenBucket) {
    this.#table = table;
    this.#rate = rate;
    this.#chains = Array.from({ length: MAX_CHAINS }, () => new Chain(entries));
  }

  /**
   * Reads the next chain of a queue, unless it is known.
   *
   * @returns false if the guest has offered none.
   * @throws {VsockboxError} BAD_DATA for a broken queue, or a chain that is too short for a packet.
   */
  peek(queue: Virtqueue): boolean {
    if (queue !== this.#queue || this.#generation !== this.#table.generation) {
      this.#queue = queue;
      this.#generation = this.#table.generation;
      this.#count = 0;
    }
    return this.#count > 0 || this.#peekFurther();
  }

  #peekFurther(): boolean {
    if (this.#count === MAX_CHAINS || this.#queue === undefined) return false;
    const chain = this.#chainAt(this.#count);
    if (!this.#queue.peek(chain, this.#count)) return false;
    if (chain.writable.bytes <= VIRTIO_VSOCK_HEADER_BYTES) {
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "send a packet to the guest",
        message: `its buffer of ${chain.writable.bytes} bytes is too short for a packet`,
      });
    }
    this.#count++;
    return true;
  }

  #chainAt(index: number): Chain {
    return this.#chains[(this.#first + index) % MAX_CHAINS] as Chain;
  }

  get #chain(): Chain {
    if (this.#count === 0) throw new Error("the queue has no chain");
    return this.#chainAt(0);
  }

  /** Capacity of the next chain for payload in bytes, within the guest's rate. */
  get bytes(): number {
    return Math.min(this.#chain.writable.bytes - VIRTIO_VSOCK_HEADER_BYTES, this.#rate.allowance);
  }

  /**
   * Returns the capacity of the next chains for payload together, for readv(2).
   *
   * @param length limit in bytes.
   * @param chains limit of chains.
   */
  vector(length: number, chains: number): IoVector {
    const vector = this.#vector;
    vector.clear();
    let left = Math.min(length, this.#rate.allowance);
    for (let index = 0; left > 0 && index < chains; index++) {
      if (index === this.#count && !this.#peekFurther()) break;
      const pieces = this.#chainAt(index).writable;
      const added = pieces.pushTo(vector, VIRTIO_VSOCK_HEADER_BYTES, left);
      left -= added;
      if (added < Math.min(left + added, pieces.bytes - VIRTIO_VSOCK_HEADER_BYTES)) break;
    }
    return vector;
  }

  /** Copies payload into the next chain, before {@link put}: up to {@link bytes}. */
  write(payload: Uint8Array): void {
    this.#table.write(this.#chain.writable, VIRTIO_VSOCK_HEADER_BYTES, payload);
  }

  /** Copies payload of another guest into the next chain; see {@link write}. */
  copyFrom(source: PieceList, skip: number, length: number): void {
    forEachPair(source, skip, this.#chain.writable, VIRTIO_VSOCK_HEADER_BYTES, length, copyMemory);
  }

  /** Writes the header of a packet whose `bytes` of payload are in the next chain; the chain is used then. */
  put(header: PacketHeader, bytes: number): void {
    const { head, writable, descriptors } = this.#chain;
    if (descriptors === 1 && bytes > 0) this.singleDescriptorPackets++;
    if (writable.length(0) >= VIRTIO_VSOCK_HEADER_BYTES) {
      header.write(this.#table.dataView(writable.window(0)), writable.offset(0));
    } else {
      header.write(this.#headerView, 0);
      this.#table.write(writable, 0, this.#headerBytes);
    }
    if (this.tap !== undefined) {
      header.write(this.#headerView, 0);
      this.tap.onPacket(header, this.#headerBytes, this.#table, writable, bytes);
    }
    this.#first = (this.#first + 1) % MAX_CHAINS;
    this.#count--;
    this.#queue?.advance();
    this.#queue?.addUsed(head, VIRTIO_VSOCK_HEADER_BYTES + bytes);
    this.#rate.consume(bytes);
  }
}
