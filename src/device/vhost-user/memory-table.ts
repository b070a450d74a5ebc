/**
 * Guest memory as a VMM has offered it: from the guest's addresses to pieces of our own. Nothing here
 * allocates once the regions are in place.
 */
import { VsockboxError } from "../../errors.ts";
import { overlapOf } from "../../protocols/vhost-user/requests.ts";
import {
  MAX_MEMORY_BYTES,
  MAX_REGIONS,
  type RegionDescription,
} from "../../protocols/vhost-user/wire.ts";

/**
 * A region of guest memory in this process: mapped in the product, a buffer in a test. All addresses
 * and ends are at most 2^53.
 */
export interface MemoryRegion extends Omit<RegionDescription, "mmapOffset"> {
  /** Where it begins in this process: for readv(2), never read or written by us. */
  hostAddress: number;
  /** A part of it as bytes, not copied. */
  view(offset: number, length: number): Uint8Array;
}

/**
 * Regions are looked at through windows of at most so many bytes, since an ArrayBuffer is limited to
 * 4 GiB. They are cut at its multiples in the guest's addresses, where no allocation of a guest's
 * kernel lies across.
 */
const WINDOW_BYTES = 2 ** 30;

/** Below this a loop copies faster than a view is made, in bytes; and allocates nothing. */
const LOOP_BYTES = 64;

/** Where pieces go to, such as an IoVector; false is for no room. */
export interface PieceSink {
  push(address: number, length: number): boolean;
}

/** Pieces of guest memory, checked. Valid until the table changes. */
export class PieceList {
  readonly #capacity: number;
  readonly #addresses: Float64Array;
  // A window's bytes fit in an i32, which the compiler counts with faster than with a u32.
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

  /** How many bytes they have together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A piece's address in this process. */
  address(index: number): number {
    return this.#addresses[index] ?? 0;
  }

  /** A piece's length in bytes. */
  length(index: number): number {
    return this.#lengths[index] ?? 0;
  }

  /** The number of a piece's window in its table. */
  window(index: number): number {
    return this.#windows[index] ?? 0;
  }

  /** Where a piece begins in its window. */
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }

  /** Begins again. */
  clear(): void {
    this.#count = 0;
    this.#bytes = 0;
  }

  /** Adds a piece. Gives false where there is no room for it. */
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
   * Hands the pieces on, without the first `from` bytes and at most `length` bytes of them.
   *
   * @returns how many bytes that were: fewer where there are no more, or the sink has no room.
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
      const taken = Math.min(size - skip, left);
      if (!sink.push(this.address(index) + skip, taken)) break;
      left -= taken;
      skip = 0;
    }
    return length - left;
  }
}

/**
 * Walks through two lists at once, for as many bytes as both have: with the address in the target, the
 * address in the source, and how many bytes are in one piece in both.
 *
 * @param skip bytes of the source in front of the first.
 * @param begin bytes of the target in front of the first.
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
  /** Windows, sorted by where they begin. */
  #begins = new Float64Array(0);
  #ends = new Float64Array(0);
  #hosts = new Float64Array(0);
  #bytes: Uint8Array[] = [];
  #views: DataView[] = [];
  #last = 0;

  /** Another number after every change: what was looked up before is of no use then. */
  get generation(): number {
    return this.#generation;
  }

  /** The regions that are in place. */
  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /**
   * Puts these regions in place of all others.
   *
   * @throws {VsockboxError} BAD_DATA where they overlap, wrap, or are too many; then nothing changes.
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

  /** Takes a region out and gives it back, to be unmapped; undefined where there is none such. */
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

  /** The number of the window that holds a guest address; -1 where none does. */
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

  /** Where a guest address is in the window that holds it. */
  offsetIn(window: number, guestAddress: number): number {
    return guestAddress - (this.#begins[window] ?? 0);
  }

  /** A window's memory as numbers. */
  dataView(window: number): DataView {
    const view = this.#views[window];
    if (view === undefined) throw bad(`there is no window ${window}`);
    return view;
  }

  /**
   * Adds the pieces that a range of guest memory consists of; it may go on from one region into the
   * next.
   *
   * @throws {VsockboxError} BAD_DATA where a byte of it is in no region, or `pieces` is full.
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
      const taken = Math.min(left, (this.#ends[window] ?? 0) - address);
      const host = (this.#hosts[window] ?? 0) + offset;
      if (!pieces.push(host, taken, window, offset)) throw bad("too many pieces");
      address += taken;
      left -= taken;
    }
  }

  /**
   * The memory behind an address of the VMM, within one region; for rings. Allocates.
   *
   * @throws {VsockboxError} BAD_DATA where no region holds all of it.
   */
  viewAtUser(userAddress: number, length: number): Uint8Array {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset >= 0 && offset + length <= region.size) return region.view(offset, length);
    }
    throw bad(`${length} bytes at the VMM's ${hex(userAddress)} are in no region`);
  }

  /**
   * Copies bytes of the pieces out, from `from` on, as many as `into` takes.
   *
   * @returns how many these were: fewer where the pieces have no more.
   */
  read(pieces: PieceList, from: number, into: Uint8Array): number {
    return this.#copy(pieces, from, into, false);
  }

  /** Copies bytes into the pieces; see {@link read}. */
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
