/**
 * Room in the guest for packets: the chains that wait in its receive ring. Many of them are filled by
 * one system call, since Linux offers them with 4 KiB each.
 */
import { VsockboxError } from "../../errors.ts";
import { copyMemory } from "../../ffi/memory-copy.ts";
import { IoVector } from "../../ffi/iovec.ts";
import { HEADER_BYTES, type PacketHeader } from "../../protocols/virtio-vsock/packet.ts";
import { forEachPair, type MemoryTable, type PieceList } from "../vhost-user/memory-table.ts";
import type { PacketTap } from "./packet-tap.ts";
import type { TokenBucket } from "./token-bucket.ts";
import { Chain, type Virtqueue } from "../vhost-user/virtqueue.ts";

/** Most chains that one system call fills. */
export const MAX_CHAINS = 32;

/** The chains that are looked at, without being taken before there is a packet in them. */
export class RxBuffers {
  readonly #table: MemoryTable;
  readonly #chains: readonly Chain[];
  readonly #vector = new IoVector();
  readonly #headerBytes = new Uint8Array(new ArrayBuffer(HEADER_BYTES));
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #rate: TokenBucket;
  #ring: Virtqueue | undefined;
  /** Of the table, when the chains were read: their addresses are of no use after a change. */
  #generation = -1;
  /** The next chain, in a ring of them. */
  #first = 0;
  /** How many chains are known: each is read once, however often it is looked at. */
  #count = 0;
  /** Packets whose header and payload were put into one descriptor: Linux from 6.2 on. */
  singleDescriptorPackets = 0;
  /** Told of every packet, where somebody wants to know. */
  tap: PacketTap | undefined;

  /**
   * @param entries of the largest ring.
   * @param rate what the guest is given is taken from it.
   */
  constructor(table: MemoryTable, entries: number, rate: TokenBucket) {
    this.#table = table;
    this.#rate = rate;
    this.#chains = Array.from({ length: MAX_CHAINS }, () => new Chain(entries));
  }

  /**
   * Looks for a chain.
   *
   * @returns false where the guest has offered none.
   * @throws {VsockboxError} BAD_DATA for a broken ring, or a chain without room for a packet.
   */
  look(ring: Virtqueue): boolean {
    if (ring !== this.#ring || this.#generation !== this.#table.generation) {
      this.#ring = ring;
      this.#generation = this.#table.generation;
      this.#count = 0;
    }
    return this.#count > 0 || this.#lookFurther();
  }

  #lookFurther(): boolean {
    if (this.#count === MAX_CHAINS || this.#ring === undefined) return false;
    const chain = this.#chainAt(this.#count);
    if (!this.#ring.peek(chain, this.#count)) return false;
    if (chain.writable.bytes <= HEADER_BYTES) {
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "give a packet to the guest",
        message: `it offers ${chain.writable.bytes} bytes, which hold no packet`,
      });
    }
    this.#count++;
    return true;
  }

  #chainAt(index: number): Chain {
    return this.#chains[(this.#first + index) % MAX_CHAINS] as Chain;
  }

  get #chain(): Chain {
    if (this.#count === 0) throw new Error("no chain is left");
    return this.#chainAt(0);
  }

  /** Room for payload in the next chain, in bytes, as far as the guest's rate goes. */
  get bytes(): number {
    return Math.min(this.#chain.writable.bytes - HEADER_BYTES, this.#rate.allowance);
  }

  /**
   * Room for payload in the next chains together, for readv.
   *
   * @param length most bytes.
   * @param chains most chains.
   */
  vector(length: number, chains: number): IoVector {
    const vector = this.#vector;
    vector.clear();
    let left = Math.min(length, this.#rate.allowance);
    for (let index = 0; left > 0 && index < chains; index++) {
      if (index === this.#count && !this.#lookFurther()) break;
      const pieces = this.#chainAt(index).writable;
      const added = pieces.pushTo(vector, HEADER_BYTES, left);
      left -= added;
      if (added < Math.min(left + added, pieces.bytes - HEADER_BYTES)) break;
    }
    return vector;
  }

  /** Copies payload into the next chain, in front of {@link put}: at most its {@link bytes}. */
  write(payload: Uint8Array): void {
    this.#table.write(this.#chain.writable, HEADER_BYTES, payload);
  }

  /** Copies payload of another guest into the next chain; see {@link write}. */
  copyFrom(source: PieceList, skip: number, length: number): void {
    forEachPair(source, skip, this.#chain.writable, HEADER_BYTES, length, copyMemory);
  }

  /** Gives the guest the next chain: a header, and `bytes` of payload that are in it already. */
  put(header: PacketHeader, bytes: number): void {
    const { head, writable, descriptors } = this.#chain;
    if (descriptors === 1 && bytes > 0) this.singleDescriptorPackets++;
    if (writable.length(0) >= HEADER_BYTES) {
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
    this.#ring?.take();
    this.#ring?.use(head, HEADER_BYTES + bytes);
    this.#rate.take(bytes);
  }
}
