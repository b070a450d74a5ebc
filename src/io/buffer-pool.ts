/**
 * Buffers for bulk data that are used again and again: a new one costs a page fault for every 4 KiB, which
 * is more than the copy into it.
 */

/** Size of each buffer, in bytes. */
const POOLED_BYTES = 256 * 1024;

/** Limit of unused buffers. */
const MAX_SPARE_BUFFERS = 4;

const spareBuffers: Uint8Array[] = [];

/** Returns a buffer of {@link POOLED_BYTES} with any content. */
export function borrowBuffer(): Uint8Array {
  return spareBuffers.pop() ?? new Uint8Array(POOLED_BYTES);
}

/** Keeps a buffer for the next borrower; nothing may read it or write to it any more. */
export function returnBuffer(buffer: Uint8Array): void {
  if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(buffer);
}
