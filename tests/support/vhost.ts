/** Guests of plain buffers, and a driver for their rings. */
import { type MemoryRegion, MemoryTable } from "../../src/device/vhost-user/memory-table.ts";

/** A region over a buffer; `before` bytes of the buffer are in front of it, for guards. */
export function bufferRegion(
  guestAddress: number,
  size: number,
  {
    userAddress = guestAddress,
    hostAddress = guestAddress,
    buffer = new ArrayBuffer(size),
    before = 0,
  } = {},
): MemoryRegion {
  return {
    guestAddress,
    size,
    userAddress,
    hostAddress,
    view(offset, length) {
      if (offset < 0 || length < 0 || offset + length > size) {
        throw new RangeError(`${length} bytes at ${offset} of a region of ${size}`);
      }
      return new Uint8Array(buffer, before + offset, length);
    },
  };
}

/** A table of these regions. */
export function tableOf(...regions: MemoryRegion[]): MemoryTable {
  const table = new MemoryTable();
  table.replace(regions);
  return table;
}

/** A descriptor as a driver writes it. */
export interface DriverDescriptor {
  address: number | bigint;
  length: number;
  flags?: number;
  next?: number;
}

/** A split ring as its driver sees it, in memory whose address 0 is the view's beginning. */
export class DriverRing {
  readonly addresses;
  /** First byte behind the ring. */
  readonly end: number;
  available = 0;

  constructor(
    readonly memory: DataView,
    readonly entries: number,
    begin = 0,
  ) {
    const available = begin + 16 * entries;
    const used = Math.ceil((available + 6 + 2 * entries) / 4) * 4;
    this.addresses = { descriptors: begin, available, used };
    this.end = used + 6 + 8 * entries;
  }

  /** Writes a descriptor, into the ring's table or another one. */
  describe(index: number, descriptor: DriverDescriptor, table = this.addresses.descriptors): void {
    const at = table + index * 16;
    this.memory.setBigUint64(at, BigInt(descriptor.address), true);
    this.memory.setUint32(at + 8, descriptor.length, true);
    this.memory.setUint16(at + 12, descriptor.flags ?? 0, true);
    this.memory.setUint16(at + 14, descriptor.next ?? 0, true);
  }

  /** Gives a chain to the device. */
  offer(head: number): void {
    const slot = this.available % this.entries;
    this.memory.setUint16(this.addresses.available + 4 + 2 * slot, head, true);
    this.setIndex(this.available + 1);
  }

  /** Writes the available index. */
  setIndex(index: number): void {
    this.available = index & 0xffff;
    this.memory.setUint16(this.addresses.available + 2, this.available, true);
  }

  /** Writes the available ring's flags. */
  setFlags(flags: number): void {
    this.memory.setUint16(this.addresses.available, flags, true);
  }

  /** Writes used_event. */
  setUsedEvent(index: number): void {
    this.memory.setUint16(this.addresses.available + 4 + 2 * this.entries, index & 0xffff, true);
  }

  get usedFlags(): number {
    return this.memory.getUint16(this.addresses.used, true);
  }

  get usedIndex(): number {
    return this.memory.getUint16(this.addresses.used + 2, true);
  }

  get availableEvent(): number {
    return this.memory.getUint16(this.addresses.used + 4 + 8 * this.entries, true);
  }

  /** What the device gave back under this number. */
  used(index: number): { head: number; length: number } {
    const at = this.addresses.used + 4 + 8 * (index % this.entries);
    return { head: this.memory.getUint32(at, true), length: this.memory.getUint32(at + 4, true) };
  }
}
