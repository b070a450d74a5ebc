/**
 * The device's side of a split virtqueue: virtio 1.2, section 2.7. Section numbers below are that
 * document's.
 *
 * A virtqueue has three parts in guest memory:
 *
 *     descriptor table   buffers (address, length, flags), linked into chains by `next`
 *     available ring     heads of chains that the driver offers; the driver writes it
 *     used ring          heads of chains that the device returns; the device writes it
 *
 * Each ring has a u16 index that counts entries and wraps. `peek` reads the next available chain,
 * `advance` consumes it, `addUsed` returns it, and `publish` stores the used index. A kick (driver to
 * device) and a call (device to driver) are signalled by descriptors outside of this file; who wants them
 * is in the rings' flags, or with VIRTIO_F_EVENT_IDX in `used_event` and `avail_event`, which hold the
 * index at which the next one is wanted. `enableKicks` and `shouldSignal` implement both.
 *
 * The driver can change any byte at any time. So each field is read once into a variable, which is
 * validated and used. Nothing here allocates for a chain.
 *
 * Both architectures of vsockbox are little-endian, as the rings are: typed arrays read them.
 */
import { VsockboxError } from "../../errors.ts";
import { MAX_RING_ENTRIES } from "../../protocols/vhost-user/rings.ts";
import type { RingAddresses } from "../../protocols/vhost-user/wire.ts";
import { type MemoryTable, PieceList } from "./memory-table.ts";

/** 2.7.5: u64 address, u32 length, u16 flags, u16 next. */
const DESCRIPTOR_BYTES = 16;
const DESCRIPTOR_WORDS = DESCRIPTOR_BYTES / 4;

/** 2.7.5: flags of a descriptor. */
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** 2.7.6: the available ring is u16 flags, u16 index, u16 ring[entries], u16 used_event. */
const AVAILABLE_FLAGS = 0;
const AVAILABLE_INDEX = 1;
const AVAILABLE_RING = 2;
/** 2.7.6: in the available ring's flags. */
const NO_INTERRUPT = 1;

/** 2.7.8: the used ring is u16 flags, u16 index, (u32 id, u32 length) ring[entries], u16 avail_event. */
const USED_FLAGS = 0;
const USED_INDEX = 1;
const USED_HEADER_BYTES = 4;
const USED_ENTRY_BYTES = 8;
/** 2.7.8: in the used ring's flags. */
const NO_NOTIFY = 1;

/** 2.7.5.2: most bytes in one chain. */
const MAX_CHAIN_BYTES = 2 ** 32;

const WORD = 2 ** 32;
/** Addresses below 2^53 have no more than these bits in their upper word. */
const MAX_UPPER_WORD = 2 ** 21 - 1;

const INDEX_MASK = 0xffff;

/** A chain of descriptors: buffers that the device reads, followed by those that it writes. */
export class Chain {
  /** Written by the driver. */
  readonly readable: PieceList;
  /** To be written by the device. */
  readonly writable: PieceList;
  /** Index of its first descriptor, for {@link Virtqueue.addUsed}. */
  head = 0;
  /** How many descriptors it has. */
  descriptors = 0;

  /**
   * @param entries size of the largest queue. A piece ends with its descriptor, and at the border of a
   * region or window, of which a chain of a correct driver crosses few.
   */
  constructor(entries: number) {
    this.readable = new PieceList(entries * 2);
    this.writable = new PieceList(entries * 2);
  }

  /** Starts a chain without descriptors. */
  clear(head: number): void {
    this.head = head;
    this.readable.clear();
    this.writable.clear();
  }
}

/** Options of {@link Virtqueue}. */
export interface VirtqueueOptions {
  /** For messages. */
  name: string;
  /** Size of the queue: a power of two up to 32768. */
  entries: number;
  addresses: RingAddresses;
  /** The next index in the available ring. */
  base: number;
  /** VIRTIO_F_EVENT_IDX is negotiated. */
  eventIndex?: boolean;
  /** VIRTIO_F_INDIRECT_DESC is negotiated. */
  indirect?: boolean;
  /** VIRTIO_F_NOTIFY_ON_EMPTY is negotiated. */
  notifyOnEmpty?: boolean;
}

/**
 * A virtqueue in guest memory. After a violation of the specification every read throws BAD_DATA.
 *
 * `Atomics` order the accesses: an index is stored after the entries that it announces and before the
 * flags are read that request a call, and it is loaded before the entries that it announces. Plain
 * accesses may be reordered by the compiler, and on arm64 by the processor.
 */
export class Virtqueue {
  readonly #table: MemoryTable;
  readonly #name: string;
  readonly #entries: number;
  readonly #mask: number;
  readonly #addresses: RingAddresses;
  readonly #eventIndex: boolean;
  readonly #indirect: boolean;
  readonly #notifyOnEmpty: boolean;

  #generation = -1;
  #descriptors = new Uint32Array(0);
  #available = new Uint16Array(0);
  #usedHeader = new Uint16Array(0);
  #usedEntries = new Uint32Array(0);
  #availableEvent = new Uint16Array(0);

  /** Next index in the available ring. */
  #last: number;
  /** The available index when it was last read. */
  #seen: number;
  /** Next index in the used ring. */
  #used: number;
  /** Entries in the used ring that the published index does not include. */
  #unpublished = 0;
  /** Entries in the used ring since {@link shouldSignal} was last called. */
  #unsignalled = 0;

  /** @throws {VsockboxError} BAD_DATA for a wrong size, or a part that is not in guest memory. */
  constructor(table: MemoryTable, options: VirtqueueOptions) {
    this.#table = table;
    this.#name = options.name;
    this.#entries = options.entries;
    this.#mask = options.entries - 1;
    this.#addresses = options.addresses;
    this.#eventIndex = options.eventIndex ?? false;
    this.#indirect = options.indirect ?? false;
    this.#notifyOnEmpty = options.notifyOnEmpty ?? false;
    const isPowerOfTwo = (this.#entries & this.#mask) === 0;
    if (this.#entries < 1 || this.#entries > MAX_RING_ENTRIES || !isPowerOfTwo) {
      throw this.#bad(`${this.#entries} entries`);
    }
    this.#last = options.base & INDEX_MASK;
    this.#seen = this.#last;
    this.#attach();
    // The driver continues from this index, whichever device had the queue before.
    this.#used = Atomics.load(this.#usedHeader, USED_INDEX);
  }

  /** The next index in the available ring, for GET_VRING_BASE. */
  get lastAvailable(): number {
    return this.#last;
  }

  set lastAvailable(index: number) {
    this.#last = index & INDEX_MASK;
    this.#seen = this.#last;
  }

  /** Size of the queue. */
  get entries(): number {
    return this.#entries;
  }

  /**
   * Reads an available chain without consuming it; see {@link advance}.
   *
   * @param ahead its distance from the next chain.
   * @returns false if it is not available yet.
   * @throws {VsockboxError} BAD_DATA for a violation of the specification.
   */
  peek(chain: Chain, ahead = 0): boolean {
    this.#attach();
    if (!this.#isAvailable(ahead) && !(this.#loadIndex() && this.#isAvailable(ahead))) return false;
    const slot = AVAILABLE_RING + ((this.#last + ahead) & this.#mask);
    this.#walk(this.#available[slot] ?? 0, chain);
    return true;
  }

  #isAvailable(ahead: number): boolean {
    return ((this.#seen - this.#last) & INDEX_MASK) > ahead;
  }

  /** Consumes the chain that {@link peek} has read; {@link addUsed} has to return it. */
  advance(): void {
    this.#last = (this.#last + 1) & INDEX_MASK;
  }

  /** Reads and consumes the next chain; returns false if there is none. */
  pop(chain: Chain): boolean {
    if (!this.peek(chain)) return false;
    this.advance();
    return true;
  }

  /**
   * Returns a chain to the driver, which sees it after {@link publish}.
   *
   * @param head of the chain.
   * @param written how many bytes the device has written into it, from its start.
   */
  addUsed(head: number, written: number): void {
    this.#attach();
    if (this.#unpublished === this.#entries) this.publish();
    const word = (this.#used & this.#mask) * 2;
    this.#usedEntries[word] = head;
    this.#usedEntries[word + 1] = written;
    this.#used = (this.#used + 1) & INDEX_MASK;
    this.#unpublished++;
    this.#unsignalled++;
  }

  /** Publishes the returned chains, once for many: 2.7.8.2. */
  publish(): void {
    if (this.#unpublished === 0) return;
    this.#attach();
    this.#unpublished = 0;
    Atomics.store(this.#usedHeader, USED_INDEX, this.#used);
  }

  /**
   * Publishes, and returns whether the driver requests a call for the chains since the last time, as a
   * write to the queue's call descriptor. Called once for many chains.
   */
  shouldSignal(): boolean {
    this.publish();
    const count = this.#unsignalled;
    if (count === 0) return false;
    this.#attach();
    this.#unsignalled = 0;
    const waiting = Atomics.load(this.#available, AVAILABLE_INDEX);
    if (this.#notifyOnEmpty && waiting === this.#last) return true;
    if (!this.#eventIndex) {
      return (Atomics.load(this.#available, AVAILABLE_FLAGS) & NO_INTERRUPT) === 0;
    }
    // 2.7.7.2: whether the index has passed used_event. It wraps, so after a full turn it has.
    if (count > INDEX_MASK) return true;
    const event = Atomics.load(this.#available, AVAILABLE_RING + this.#entries);
    return ((this.#used - event - 1) & INDEX_MASK) < count;
  }

  /**
   * Asks the guest for a kick with the next chain.
   *
   * @returns whether chains became available before the driver could read the request: they have to be
   * processed now, since no kick may follow.
   */
  enableKicks(): boolean {
    this.#attach();
    if (this.#eventIndex) Atomics.store(this.#availableEvent, 0, this.#last);
    else Atomics.store(this.#usedHeader, USED_FLAGS, 0);
    return this.#loadIndex();
  }

  /** Asks the driver for no kicks. With an event index they are off after each kick. */
  disableKicks(): void {
    if (this.#eventIndex) return;
    this.#attach();
    Atomics.store(this.#usedHeader, USED_FLAGS, NO_NOTIFY);
  }

  #bad(message: string): VsockboxError {
    return new VsockboxError({ code: "BAD_DATA", operation: `read ${this.#name}`, message });
  }

  /** Loads the available index; returns whether it announces a chain. */
  #loadIndex(): boolean {
    const seen = Atomics.load(this.#available, AVAILABLE_INDEX);
    const ahead = (seen - this.#last) & INDEX_MASK;
    if (ahead > this.#entries) {
      throw this.#bad(
        `the available index is ${ahead} ahead of ${this.#last} in a ring of ${this.#entries}`,
      );
    }
    this.#seen = seen;
    return ahead > 0;
  }

  /** Looks up the queue's memory after a change of the table: the old mapping may be gone. */
  #attach(): void {
    if (this.#generation === this.#table.generation) return;
    const { descriptors, available, used } = this.#addresses;
    const entries = this.#entries;
    this.#descriptors = this.#words(descriptors, entries * DESCRIPTOR_WORDS);
    this.#available = this.#halves(available, AVAILABLE_RING + entries + 1);
    this.#usedHeader = this.#halves(used, 2);
    this.#usedEntries = this.#words(used + USED_HEADER_BYTES, entries * 2);
    const event = used + USED_HEADER_BYTES + entries * USED_ENTRY_BYTES;
    this.#availableEvent = this.#halves(event, 1);
    this.#generation = this.#table.generation;
  }

  #words(userAddress: number, count: number): Uint32Array<ArrayBuffer> {
    const { buffer, byteOffset } = this.#memory(userAddress, count * 4, 4);
    return new Uint32Array(buffer, byteOffset, count);
  }

  #halves(userAddress: number, count: number): Uint16Array<ArrayBuffer> {
    const { buffer, byteOffset } = this.#memory(userAddress, count * 2, 2);
    return new Uint16Array(buffer, byteOffset, count);
  }

  #memory(userAddress: number, bytes: number, alignment: number) {
    const { buffer, byteOffset } = this.#table.viewAtUser(userAddress, bytes);
    if (byteOffset % alignment !== 0 || userAddress % alignment !== 0) {
      throw this.#bad(`a part at the VMM's 0x${userAddress.toString(16)} is not aligned`);
    }
    if (!(buffer instanceof ArrayBuffer)) throw this.#bad("its memory is not an ArrayBuffer");
    return { buffer, byteOffset };
  }

  #walk(head: number, chain: Chain): void {
    chain.clear(head);
    const words = this.#descriptors;
    let index = head;
    for (let count = 1; ; count++) {
      if (index >= this.#entries) {
        throw this.#bad(`descriptor ${index} in a ring of ${this.#entries}`);
      }
      if (count > this.#entries) throw this.#bad(`the chain at ${head} loops`);
      const word = index * DESCRIPTOR_WORDS;
      const lower = words[word] ?? 0;
      const upper = words[word + 1] ?? 0;
      const length = words[word + 2] ?? 0;
      const last = words[word + 3] ?? 0;
      const flags = last & INDEX_MASK;
      if ((flags & INDIRECT) !== 0) {
        if ((flags & NEXT) !== 0) throw this.#bad("an indirect descriptor with a next one");
        this.#walkIndirect(chain, this.#address(lower, upper), length, count);
        return;
      }
      this.#addPiece(chain, this.#address(lower, upper), length, flags);
      chain.descriptors = count;
      if ((flags & NEXT) === 0) return;
      index = last >>> 16;
    }
  }

  /** 2.7.5.3. The chain in the table counts as part of the whole chain: 2.7.5.3.1. */
  #walkIndirect(chain: Chain, table: number, bytes: number, before: number): void {
    if (!this.#indirect) throw this.#bad("an indirect descriptor, which was not negotiated");
    if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) {
      throw this.#bad(`an indirect table of ${bytes} bytes`);
    }
    const entries = bytes / DESCRIPTOR_BYTES;
    let index = 0;
    for (let count = before; ; count++) {
      if (index >= entries) {
        throw this.#bad(`descriptor ${index} in an indirect table of ${entries}`);
      }
      if (count > this.#entries) throw this.#bad(`the chain at ${chain.head} loops or is too long`);
      const address = table + index * DESCRIPTOR_BYTES;
      const window = this.#table.windowAt(address);
      if (window < 0) {
        throw this.#bad(`an indirect table at 0x${address.toString(16)}, outside of memory`);
      }
      const view = this.#table.dataView(window);
      const offset = this.#table.offsetIn(window, address);
      if (offset + DESCRIPTOR_BYTES > view.byteLength) {
        throw this.#bad("an indirect descriptor that crosses a border of regions");
      }
      const lower = view.getUint32(offset, true);
      const upper = view.getUint32(offset + 4, true);
      const length = view.getUint32(offset + 8, true);
      const last = view.getUint32(offset + 12, true);
      const flags = last & INDEX_MASK;
      if ((flags & INDIRECT) !== 0) throw this.#bad("an indirect table in an indirect table");
      this.#addPiece(chain, this.#address(lower, upper), length, flags);
      if ((flags & NEXT) === 0) return;
      index = last >>> 16;
    }
  }

  #address(lower: number, upper: number): number {
    if (upper > MAX_UPPER_WORD) throw this.#bad("an address above 2^53");
    return upper * WORD + lower;
  }

  #addPiece(chain: Chain, address: number, length: number, flags: number): void {
    const { readable, writable } = chain;
    if (readable.bytes + writable.bytes + length > MAX_CHAIN_BYTES) {
      throw this.#bad(`the chain at ${chain.head} has more than 2^32 bytes`);
    }
    if ((flags & WRITE) !== 0) {
      this.#table.translate(address, length, writable);
      return;
    }
    // 2.7.4.2: buffers for the device to write come last.
    if (writable.count > 0) throw this.#bad("a readable descriptor after a writable one");
    this.#table.translate(address, length, readable);
  }
}
