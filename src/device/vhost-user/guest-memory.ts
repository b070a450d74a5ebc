/** The guest's memory, mapped from the descriptors that the VMM sends. */
import { type SharedMapping, mapShared } from "../../ffi/mmap.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import type { OfferedRegion } from "../../protocols/vhost-user/actions.ts";
import type { RegionDescription } from "../../protocols/vhost-user/wire.ts";
import { type MemoryRegion, MemoryTable } from "./memory-table.ts";

/** The mapped regions of one VM, and the table that translates addresses into them. */
export class GuestMemory {
  readonly table = new MemoryTable();
  readonly #mappings = new Map<MemoryRegion, SharedMapping>();

  /**
   * Replaces all regions; owns the descriptors, which are closed.
   *
   * @throws {VsockboxError} BAD_DATA, IO; then no region is mapped.
   */
  replace(regions: readonly OfferedRegion[]): void {
    const before = [...this.#mappings];
    try {
      const mapped = this.#map(regions);
      this.table.replace(mapped);
    } catch (thrown) {
      this.table.replace([]);
      this.#unmap([...this.#mappings]);
      throw thrown;
    }
    // The table refers to them until here.
    this.#unmap(before);
  }

  /** Maps one more region; see {@link replace}. */
  add(region: OfferedRegion): void {
    const [mapped] = this.#map([region]);
    if (mapped !== undefined) this.table.add(mapped);
  }

  /** Unmaps a region. */
  remove(region: RegionDescription): void {
    const removed = this.table.remove(region);
    const mapping = removed === undefined ? undefined : this.#mappings.get(removed);
    if (removed !== undefined && mapping !== undefined) this.#unmap([[removed, mapping]]);
  }

  #map(regions: readonly OfferedRegion[]): MemoryRegion[] {
    try {
      return regions.map(({ fd, mmapOffset, ...description }) => {
        const mapping = mapShared(fd, mmapOffset, description.size);
        const region: MemoryRegion = {
          ...description,
          hostAddress: mapping.address,
          view: (offset, length) => mapping.view(offset, length),
        };
        this.#mappings.set(region, mapping);
        return region;
      });
    } finally {
      for (const { fd } of regions) closeDescriptor(fd);
    }
  }

  #unmap(mappings: readonly (readonly [MemoryRegion, SharedMapping])[]): void {
    for (const [region, mapping] of mappings) {
      this.#mappings.delete(region);
      mapping.unmap();
    }
  }
}
