/**
 * Memory for bytes of guests that wait for slow readers. It is mapped and unmapped, since the runtime keeps
 * freed memory for long; a few mappings are kept for the next connections while the devices are busy.
 */
import { mapPrivate, type PrivateMapping } from "../../ffi/mmap.ts";

/** Size of all mappings together that are kept while they are not used, in bytes. */
export const KEPT_BYTES = 8 * 1024 * 1024;

/** Mappings that are in use are owned by their users; the pool owns the others. */
export class BufferPool {
  readonly #map: (bytes: number) => PrivateMapping;
  /** By size, the last one returned at the end: its pages are the most probable ones in the caches. */
  readonly #unused = new Map<number, PrivateMapping[]>();
  #unusedBytes = 0;

  /** @param map makes a mapping of so many bytes. */
  constructor(map: (bytes: number) => PrivateMapping = mapPrivate) {
    this.#map = map;
  }

  /** Size of the mappings that are kept, in bytes. */
  get unusedBytes(): number {
    return this.#unusedBytes;
  }

  /**
   * Returns a mapping of exactly this size, whose content is arbitrary; the caller owns it.
   *
   * @throws {VsockboxError} IO if there is no memory.
   */
  take(bytes: number): PrivateMapping {
    const kept = this.#unused.get(bytes)?.pop();
    if (kept === undefined) return this.#map(bytes);
    this.#unusedBytes -= bytes;
    return kept;
  }

  /** Returns a new mapping, which uses no memory until it is written; the caller owns it. */
  takeUntouched(bytes: number): PrivateMapping {
    return this.#map(bytes);
  }

  /** Keeps a mapping for the next user, or unmaps it if enough are kept. */
  give(mapping: PrivateMapping): void {
    const bytes = mapping.bytes.length;
    if (this.#unusedBytes + bytes > KEPT_BYTES) return mapping.unmap();
    const kept = this.#unused.get(bytes);
    if (kept === undefined) this.#unused.set(bytes, [mapping]);
    else kept.push(mapping);
    this.#unusedBytes += bytes;
  }

  /** Unmaps all that are not used. */
  trim(): void {
    for (const kept of this.#unused.values()) for (const mapping of kept) mapping.unmap();
    this.#unused.clear();
    this.#unusedBytes = 0;
  }
}

/** The pool of all devices of this process. */
export const buffers = new BufferPool();
