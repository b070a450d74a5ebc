/**
 * The device's side of a split virtqueue: virtio 1.2, section 2.7. The numbers of sections below are
 * that document's.
 *
 * The guest can change any byte of it at any time. So each field is read once, into a number of our
 * own, and that number is what is checked and used. Nothing here allocates for a chain.
 *
 * Both machines that vsockbox runs on are little-endian, as the rings are: typed arrays read them.
 */
import { VsockboxError } from "../../errors.ts";
import { MAX_RING_ENTRIES } from "../../protocols/vhost-user/backend.ts";
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

/** A chain of descriptors: first what the device reads, then what it writes. */
export class Chain {
  /** What the guest has written. */
  readonly readable: PieceList;
  /** Room for what the device answers. */
  readonly writable: PieceList;
  /** What {@link Virtqueue.use} has to be told. */
  head = 0;
  /** How many descriptors it has: what reading it has cost. */
  descriptors = 0;

  /**
   * @param entries of the largest ring that it is used for. A piece ends with its descriptor, and
   * where one region or window meets the next, of which a chain of a sane guest has few.
   */
  constructor(entries: number) {
    this.readable = new PieceList(entries * 2);
    this.writable = new PieceList(entries * 2);
  }

  /** Begins again. */
  clear(head: number): void {
    this.head = head;
    this.readable.clear();
    this.writable.clear();
  }
}

/** What a {@link Virtqueue} is made of. */
export interface VirtqueueOptions {
  /** For messages. */
  name: string;
  /** Size of the ring; a power of two up to 32768. */
  entries: number;
  addresses: RingAddresses;
  /** Where to go on in the available ring. */
  base: number;
  /** VIRTIO_F_EVENT_IDX is negotiated. */
  eventIndex?: boolean;
  /** VIRTIO_F_INDIRECT_DESC is negotiated. */
  indirect?: boolean;
  /** VIRTIO_F_NOTIFY_ON_EMPTY is negotiated. */
  notifyOnEmpty?: boolean;
}

/**
 * A ring in guest memory. A broken one throws BAD_DATA from then on at every look: the device stops.
 *
 * `Atomics` order what is written: an index is stored after the entries that it announces, is seen by
 * the guest before the flags are read that say whether it wants to hear of it, and is loaded before
 * the entries that it announces. Plain accesses may be moved by the compiler, and on arm64 by the
 * processor.
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

  /** Next in the available ring. */
  #last: number;
  /** The available index as it was seen last. */
  #seen: number;
  /** Next in the used ring. */
  #used: number;
  /** Entries in the used ring that the index does not announce yet. */
  #unpublished = 0;
  /** Entries since the guest was last thought to be told; more than a u16 holds counts as that. */
  #unsignalled = 0;

  /** @throws {VsockboxError} BAD_DATA where the ring is not in the guest's memory, or has no size. */
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
    // The guest counts on from here, whatever device was there before.
    this.#used = Atomics.load(this.#usedHeader, USED_INDEX);
  }

  /** Where to go on in the available ring: what GET_VRING_BASE answers. */
  get lastAvailable(): number {
    return this.#last;
  }

  set lastAvailable(index: number) {
    this.#last = index & INDEX_MASK;
    this.#seen = this.#last;
  }

  /** Size of the ring. */
  get entries(): number {
    return this.#entries;
  }

  /**
   * Reads the next chain, or one behind it, without taking it: without {@link take} the next call
   * gives it again.
   *
   * @param ahead how many chains are in front of it that were not taken either.
   * @returns false where none is waiting.
   * @throws {VsockboxError} BAD_DATA, saying what is wrong with the ring.
   */
  peek(chain: Chain, ahead = 0): boolean {
    this.#attach();
    if (!this.#hasSeen(ahead) && !(this.#look() && this.#hasSeen(ahead))) return false;
    const slot = AVAILABLE_RING + ((this.#last + ahead) & this.#mask);
    this.#walk(this.#available[slot] ?? 0, chain);
    return true;
  }

  #hasSeen(ahead: number): boolean {
    return ((this.#seen - this.#last) & INDEX_MASK) > ahead;
  }

  /** Takes the chain that {@link peek} gave. It has to be given back by {@link use}. */
  advance(): void {
    this.#last = (this.#last + 1) & INDEX_MASK;
  }

  /** {@link peek} and {@link take}. */
  pop(chain: Chain): boolean {
    if (!this.peek(chain)) return false;
    this.advance();
    return true;
  }

  /**
   * Gives a chain back. The guest sees it with {@link publish}.
   *
   * @param head the chain's.
   * @param written how many bytes the device has written into it, from the beginning.
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

  /** Shows the guest what was given back; once for many. 2.7.8.2. */
  publish(): void {
    if (this.#unpublished === 0) return;
    this.#attach();
    this.#unpublished = 0;
    Atomics.store(this.#usedHeader, USED_INDEX, this.#used);
  }

  /**
   * Publishes, and says whether the guest wants to hear of it: whether to write to the ring's call
   * descriptor. To be asked once for many chains.
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
    // 2.7.7.2: whether the index has passed used_event since. It wraps, so one that has gone all the
    // way round has passed it in any case.
    if (count > INDEX_MASK) return true;
    const event = Atomics.load(this.#available, AVAILABLE_RING + this.#entries);
    return ((this.#used - event - 1) & INDEX_MASK) < count;
  }

  /**
   * Asks the guest for a kick with the next chain.
   *
   * @returns whether chains are waiting that came before it could see that: to be looked after now,
   * since no kick may come for them.
   */
  enableKicks(): boolean {
    this.#attach();
    if (this.#eventIndex) Atomics.store(this.#availableEvent, 0, this.#last);
    else Atomics.store(this.#usedHeader, USED_FLAGS, 0);
    return this.#look();
  }

  /** Tells the guest that kicks are of no use now. With an event index they end by themselves. */
  disableKicks(): void {
    if (this.#eventIndex) return;
    this.#attach();
    Atomics.store(this.#usedHeader, USED_FLAGS, NO_NOTIFY);
  }

  #bad(message: string): VsockboxError {
    return new VsockboxError({ code: "BAD_DATA", operation: `read ${this.#name}`, message });
  }

  /** Loads the available index; true where it announces something. */
  #look(): boolean {
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

  /** Finds the ring's memory again where the table has changed: what was there may be unmapped. */
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
    if (!(buffer instanceof ArrayBuffer)) throw this.#bad("its memory is of another kind");
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
        if ((flags & NEXT) !== 0) throw this.#bad("an indirect descriptor with another behind it");
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
        throw this.#bad("an indirect descriptor that lies across two regions");
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
    // 2.7.4.2: what the device writes comes last.
    if (writable.count > 0) throw this.#bad("a readable descriptor behind a writable one");
    this.#table.translate(address, length, readable);
  }
}
