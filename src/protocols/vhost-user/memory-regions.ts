/**
 * The memory regions that a VMM has offered: which may be added and removed. The I/O side maps them by the
 * actions that are passed to `act`; a change that breaks the protocol changes nothing.
 */
import type { OfferedRegion, VhostAction } from "./actions.ts";
import { overlapOf } from "./requests.ts";
import {
  badVhostUserMessage,
  MAX_MEMORY_BYTES,
  MAX_REGIONS,
  type RegionDescription,
  type VhostMessage,
} from "./wire.ts";

/** The regions of one connection. */
export class MemoryRegions {
  readonly #act: (action: VhostAction) => void;
  #regions: readonly RegionDescription[] = [];

  /** @param act receives the actions, in order. */
  constructor(act: (action: VhostAction) => void) {
    this.#act = act;
  }

  /**
   * Replaces all regions.
   *
   * @throws {VsockboxError} BAD_DATA: too many or too large regions, an overlap, a missing descriptor.
   */
  setTable(regions: readonly RegionDescription[], message: VhostMessage): void {
    checkRegions(regions, message);
    const offered = regions.map((region, index) => offer(region, message, index));
    this.#regions = regions;
    this.#act({ kind: "map-table", regions: offered });
  }

  /**
   * Adds a region.
   *
   * @throws {VsockboxError} BAD_DATA, as {@link setTable}.
   */
  add(region: RegionDescription, message: VhostMessage): void {
    const regions = [...this.#regions, region];
    checkRegions(regions, message);
    const offered = offer(region, message, 0);
    this.#regions = regions;
    this.#act({ kind: "add-region", region: offered });
  }

  /**
   * Removes a region, and closes the descriptor of the message.
   *
   * @throws {VsockboxError} BAD_DATA for an unknown region.
   */
  remove(wanted: RegionDescription, message: VhostMessage): void {
    // "The memory region to be removed is identified by its guest address, user address and size."
    const found = this.#regions.find(
      ({ guestAddress, userAddress, size }) =>
        guestAddress === wanted.guestAddress &&
        userAddress === wanted.userAddress &&
        size === wanted.size,
    );
    if (found === undefined) throw badVhostUserMessage(message.request, "unknown memory region");
    this.#regions = this.#regions.filter((region) => region !== found);
    this.#act({ kind: "remove-region", region: found });
    const [fd] = message.fds;
    if (fd !== undefined) this.#act({ kind: "close", fd });
  }

  /** Removes all regions at the end of the connection. */
  clear(): void {
    if (this.#regions.length > 0) this.#act({ kind: "map-table", regions: [] });
    this.#regions = [];
  }
}

function checkRegions(regions: readonly RegionDescription[], { request }: VhostMessage): void {
  if (regions.length > MAX_REGIONS) {
    throw badVhostUserMessage(request, `${regions.length} regions are above ${MAX_REGIONS}`);
  }
  const bytes = regions.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MAX_MEMORY_BYTES) {
    throw badVhostUserMessage(request, `${bytes} bytes of memory are above ${MAX_MEMORY_BYTES}`);
  }
  const overlap = overlapOf(regions);
  if (overlap === undefined) return;
  const [first, second] = overlap.map(({ guestAddress }) => `0x${guestAddress.toString(16)}`);
  throw badVhostUserMessage(request, `the regions at ${first} and ${second} overlap`);
}

function offer(region: RegionDescription, message: VhostMessage, index: number): OfferedRegion {
  const fd = message.fds[index];
  if (fd === undefined) throw badVhostUserMessage(message.request, "a region without a descriptor");
  return { ...region, fd };
}
