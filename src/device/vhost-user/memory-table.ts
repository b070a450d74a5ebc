/**
 * Translates guest addresses to memory of this process.
 *
 * A VMM shares guest memory as regions, each with a guest (physical) address, a user address (the VMM's
 * own, used for the parts of rings) and a size. Descriptors of chains have guest addresses. A range of
 * them becomes pieces: each has an address in this process, for readv(2) and copies, and a place in one of
 * the views (windows) through which JavaScript reads and writes it.
 *
 * All addresses come from a guest or VMM that is not trusted: a range that is not entirely in regions
 * throws. Nothing here allocates once the regions are in place, except for {@link MemoryTable.viewAtUser}.
 */
import { VsockboxError } from "../../errors.ts";
import { overlapOf } from "../../protocols/vhost-user/requests.ts";
import {
  MAX_MEMORY_BYTES,
  MAX_REGIONS,
  type RegionDescription,
} from "../../protocols/vhost-user/wire.ts";

/**
 * A region of guest memory in this process: a mapping, or a buffer in tests. All addresses and ends are
 * at most 2^53.
 */
export interface MemoryRegion extends Omit<RegionDescription, "mmapOffset"> {
  /** Its address in this process: passed to system calls, never dereferenced here. */
  hostAddress: number;
  /** Returns a part of it as bytes, without a copy. */
  view(offset: number, length: number): Uint8Array;
}

/**
 * Size of a window in bytes: an ArrayBuffer is limited to 4 GiB. Regions are cut at multiples of it in
 * guest addresses, which no allocation of a guest's kernel crosses.
 */
const WINDOW_BYTES = 2 ** 30;

/** Below this a loop is faster than a view, in bytes; and it allocates nothing. */
const LOOP_BYTES = 64;

/** Receives pieces, such as an IoVector; `push` returns false if it is full. */
export interface PieceSink {
  push(address: number, length: number): boolean;
}

/** Pieces of guest memory, validated; valid until the table changes. */
export class PieceList {
  readonly #capacity: number;
  readonly #addresses: Float64Array;
  // A window's size fits in an i32, with which the compiler is faster than with a u32.
  readonly #lengths: Int32Array;
  readonly #windows: Int32Array;
  readonly #offsets: Int32Array;
  #count = 0;
  #bytes = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#addresses = new Float64Array(capacity);
    this.#lengths = new Int32Array(capacity);
    this.#windows = new Int32Array(capacity);
    this.#offsets = new Int32Array(capacity);
  }

  /** How many pieces there are. */
  get count(): number {
    return this.#count;
  }

  /** Their total size in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns a piece's address in this process. */
  address(index: number): number {
    return this.#addresses[index] ?? 0;
  }

  /** Returns a piece's length in bytes. */
  length(index: number): number {
    return this.#lengths[index] ?? 0;
  }

  /** Returns the number of a piece's window. */
  window(index: number): number {
    return this.#windows[index] ?? 0;
  }

  /** Returns a piece's offset in its window. */
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }

  /** Removes all pieces. */
  clear(): void {
    this.#count = 0;
    this.#bytes = 0;
  }

  /** Adds a piece; returns false if the list is full. */
  push(address: number, length: number, window: number, offset: number): boolean {
    if (this.#count === this.#capacity) return false;
    this.#addresses[this.#count] = address;
    this.#lengths[this.#count] = length;
    this.#windows[this.#count] = window;
    this.#offsets[this.#count] = offset;
    this.#count++;
    this.#bytes += length;
    return true;
  }

  /**
   * Passes up to `length` bytes of the pieces on, without the first `from` bytes.
   *
   * @returns how many bytes: fewer if there are no more, or the sink is full.
   */
  pushTo(sink: PieceSink, from: number, length: number): number {
    let skip = from;
    let left = length;
    for (let index = 0; index < this.#count && left > 0; index++) {
      const size = this.length(index);
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const count = Math.min(size - skip, left);
      if (!sink.push(this.address(index) + skip, count)) break;
      left -= count;
      skip = 0;
    }
    return length - left;
  }
}

/**
 * Visits two lists at once, for as many bytes as both have, in parts that are contiguous in both: with
 * the address in the target, the address in the source, and the length.
 *
 * @param skip how many bytes of the source to skip.
 * @param begin how many bytes of the target to skip.
 */
export function forEachPair(
  source: PieceList,
  skip: number,
  target: PieceList,
  begin: number,
  length: number,
  visit: (target: number, source: number, length: number) => void,
): void {
  let from = 0;
  let to = 0;
  let fromOffset = skip;
  let toOffset = begin;
  let left = length;
  while (left > 0 && from < source.count && to < target.count) {
    const fromBytes = source.length(from) - fromOffset;
    const toBytes = target.length(to) - toOffset;
    if (fromBytes <= 0) {
      fromOffset = -fromBytes;
      from++;
    } else if (toBytes <= 0) {
      toOffset = -toBytes;
      to++;
    } else {
      const count = Math.min(left, fromBytes, toBytes);
      visit(target.address(to) + toOffset, source.address(from) + fromOffset, count);
      fromOffset += count;
      toOffset += count;
      left -= count;
    }
  }
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "access guest memory", message });
}

const hex = (value: number) => `0x${value.toString(16)}`;

/** The regions of one guest. */
export class MemoryTable {
  #regions: readonly MemoryRegion[] = [];
  #generation = 0;
  /** First guest address of each window, ascending. */
  #begins = new Float64Array(0);
  #ends = new Float64Array(0);
  #hosts = new Float64Array(0);
  #bytes: Uint8Array[] = [];
  #views: DataView[] = [];
  #last = 0;

  /** Changes with every change of the regions, which makes earlier translations invalid. */
  get generation(): number {
    return this.#generation;
  }

  /** The present regions. */
  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /**
   * Replaces all regions.
   *
   * @throws {VsockboxError} BAD_DATA if they overlap, wrap or are too many; then nothing changes.
   */
  replace(regions: readonly MemoryRegion[]): void {
    if (regions.length > MAX_REGIONS) throw bad(`more than ${MAX_REGIONS} regions`);
    for (const region of regions) checkRegion(region);
    if (regions.reduce((sum, { size }) => sum + size, 0) > MAX_MEMORY_BYTES) {
      throw bad(`more than ${MAX_MEMORY_BYTES} bytes`);
    }
    const overlap = overlapOf(regions);
    if (overlap !== undefined) {
      const [first, second] = overlap.map(({ guestAddress }) => hex(guestAddress));
      throw bad(`the regions at ${first} and ${second} overlap`);
    }
    const windows = regions
      .toSorted((a, b) => a.guestAddress - b.guestAddress)
      .flatMap((region) => windowsOf(region));
    this.#regions = [...regions];
    this.#generation++;
    this.#last = 0;
    this.#begins = Float64Array.from(windows, ({ begin }) => begin);
    this.#ends = Float64Array.from(windows, ({ begin, bytes }) => begin + bytes.length);
    this.#hosts = Float64Array.from(windows, ({ host }) => host);
    this.#bytes = windows.map(({ bytes }) => bytes);
    this.#views = this.#bytes.map(
      ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength),
    );
  }

  /** Adds a region; see {@link replace}. */
  add(region: MemoryRegion): void {
    this.replace([...this.#regions, region]);
  }

  /** Removes a region and returns it, to be unmapped; undefined if there is no such region. */
  remove(wanted: Omit<RegionDescription, "mmapOffset">): MemoryRegion | undefined {
    const found = this.#regions.find(
      ({ guestAddress, userAddress, size }) =>
        guestAddress === wanted.guestAddress &&
        userAddress === wanted.userAddress &&
        size === wanted.size,
    );
    if (found !== undefined) this.replace(this.#regions.filter((region) => region !== found));
    return found;
  }

  /** Returns the number of the window with a guest address; -1 if there is none. */
  windowAt(guestAddress: number): number {
    const last = this.#last;
    if (guestAddress >= (this.#begins[last] ?? 0) && guestAddress < (this.#ends[last] ?? 0)) {
      return last;
    }
    let low = 0;
    let high = this.#begins.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) > guestAddress) high = middle;
      else low = middle + 1;
    }
    if (low === this.#begins.length || guestAddress < (this.#begins[low] ?? 0)) return -1;
    this.#last = low;
    return low;
  }

  /** Returns the offset of a guest address in its window. */
  offsetIn(window: number, guestAddress: number): number {
    return guestAddress - (this.#begins[window] ?? 0);
  }

  /** Returns a view of a window. */
  dataView(window: number): DataView {
    const view = this.#views[window];
    if (view === undefined) throw bad(`window ${window} does not exist`);
    return view;
  }

  /**
   * Adds the pieces of a range of guest memory, which may cross borders of regions.
   *
   * @throws {VsockboxError} BAD_DATA if a byte of it is in no region, or `pieces` is full.
   */
  translate(guestAddress: number, length: number, pieces: PieceList): void {
    let address = guestAddress;
    let left = length;
    while (left > 0) {
      const window = this.windowAt(address);
      if (window < 0) {
        throw bad(`${length} bytes at ${hex(guestAddress)} are not all in the guest's memory`);
      }
      const offset = this.offsetIn(window, address);
      const count = Math.min(left, (this.#ends[window] ?? 0) - address);
      const host = (this.#hosts[window] ?? 0) + offset;
      if (!pieces.push(host, count, window, offset)) throw bad("too many pieces");
      address += count;
      left -= count;
    }
  }

  /**
   * Returns the memory at a user address, within one region, for a part of a ring. Allocates.
   *
   * @throws {VsockboxError} BAD_DATA if no region holds all of it.
   */
  viewAtUser(userAddress: number, length: number): Uint8Array {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset >= 0 && offset + length <= region.size) return region.view(offset, length);
    }
    throw bad(`${length} bytes at the VMM's ${hex(userAddress)} are in no region`);
  }

  /**
   * Copies bytes of the pieces, from `from` on, into a buffer.
   *
   * @returns how many bytes: fewer than its size if the pieces have no more.
   */
  read(pieces: PieceList, from: number, into: Uint8Array): number {
    return this.#copy(pieces, from, into, false);
  }

  /** Copies a buffer into the pieces; see {@link read}. */
  write(pieces: PieceList, from: number, bytes: Uint8Array): number {
    return this.#copy(pieces, from, bytes, true);
  }

  #copy(pieces: PieceList, from: number, ours: Uint8Array, isWrite: boolean): number {
    let skip = from;
    let done = 0;
    for (let index = 0; index < pieces.count && done < ours.length; index++) {
      const size = pieces.length(index);
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const memory = this.#bytes[pieces.window(index)];
      if (memory === undefined) throw bad("the table has changed");
      const begin = pieces.offset(index) + skip;
      const count = Math.min(size - skip, ours.length - done);
      if (isWrite) copyBytes(ours, done, memory, begin, count);
      else copyBytes(memory, begin, ours, done, count);
      done += count;
      skip = 0;
    }
    return done;
  }
}

function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  count: number,
): void {
  if (count > LOOP_BYTES) {
    target.set(source.subarray(from, from + count), to);
    return;
  }
  for (let index = 0; index < count; index++) target[to + index] = source[from + index] ?? 0;
}

function checkRegion({ guestAddress, size, userAddress, hostAddress }: MemoryRegion): void {
  const numbers = [guestAddress, userAddress, hostAddress].flatMap((begin) => [
    begin,
    begin + size,
  ]);
  if (size <= 0 || numbers.some((value) => !Number.isSafeInteger(value) || value < 0)) {
    throw bad(`a region of ${size} bytes at ${hex(guestAddress)}`);
  }
}

interface Window {
  begin: number;
  host: number;
  bytes: Uint8Array;
}

function windowsOf(region: MemoryRegion): Window[] {
  const windows: Window[] = [];
  const { guestAddress, size, hostAddress } = region;
  for (let offset = 0; offset < size;) {
    const begin = guestAddress + offset;
    const length = Math.min(size - offset, WINDOW_BYTES - (begin % WINDOW_BYTES));
    windows.push({ begin, host: hostAddress + offset, bytes: region.view(offset, length) });
    offset += length;
  }
  return windows;
}
