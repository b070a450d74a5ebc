/**
 * The running process groups of a service, in a file in memory that its guard reads only after the
 * service has ended: a start or an end costs one pwrite(2) and wakes no other process. Each slot is a
 * 32-bit number in native byte order, 0 if it is free.
 */

/** Bytes of a slot. */
const SLOT_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** Which slot holds which group. */
export class GroupTable {
  readonly #slots = new Map<number, number>();
  readonly #free: number[] = [];
  readonly #write: (bytes: Uint8Array, offset: number) => void;

  /** @param write writes bytes at an offset of the file. */
  constructor(write: (bytes: Uint8Array, offset: number) => void) {
    this.#write = write;
  }

  /** How many groups it holds. */
  get size(): number {
    return this.#slots.size;
  }

  /** Adds a group; one that is in stays as it is. */
  add(group: number): void {
    if (this.#slots.has(group)) return;
    const slot = this.#free.pop() ?? this.#slots.size;
    this.#slots.set(group, slot);
    this.#set(slot, group);
  }

  /** Removes a group, if it is in. */
  remove(group: number): void {
    const slot = this.#slots.get(group);
    if (slot === undefined) return;
    this.#slots.delete(group);
    this.#free.push(slot);
    this.#set(slot, 0);
  }

  #set(slot: number, group: number): void {
    this.#write(new Uint8Array(Int32Array.of(group).buffer), slot * SLOT_BYTES);
  }
}

/** Returns the groups in the bytes of a table. A group of 1 or below is never one of a command. */
export function groupsOfTable(bytes: Uint8Array): number[] {
  const whole = bytes.slice(0, bytes.length - (bytes.length % SLOT_BYTES));
  return [...new Int32Array(whole.buffer)].filter((group) => group > 1);
}
