/** Mappings of ordinary memory, which note when they are unmapped. */
import type { PrivateMapping } from "../../src/ffi/mmap.ts";

/** Makes mappings and counts them. */
export class FakeMappings {
  /** Sizes of all that were made, in their order. */
  readonly made: number[] = [];
  readonly #open = new Set<PrivateMapping>();

  readonly map = (bytes: number): PrivateMapping => {
    this.made.push(bytes);
    const mapping: PrivateMapping = {
      bytes: new Uint8Array(bytes),
      unmap: () => void this.#open.delete(mapping),
    };
    this.#open.add(mapping);
    return mapping;
  };

  /** Sizes of those that are not unmapped. */
  get sizes(): number[] {
    return [...this.#open].map(({ bytes }) => bytes.length);
  }
}
