/**
 * Buffers for large Data frames, used again and again: a fresh one for each frame costs a page fault for
 * every 4 KiB, which is more than the copy into it.
 */
import { DATA_HEADER_BYTES, MAX_DATA_BYTES } from "../../protocols/agent/channel-frames.ts";

/** Buffers that wait for their next frame, of all channels together. */
const MAX_SPARE_BUFFERS = 2;

const spareBuffers: Uint8Array[] = [];

/** Returns a buffer for the largest Data frame, with any content. */
export function borrowFrameBuffer(): Uint8Array {
  return spareBuffers.pop() ?? new Uint8Array(DATA_HEADER_BYTES + MAX_DATA_BYTES);
}

/** Keeps a buffer for the next frame, once the kernel has all of its bytes. */
export function returnFrameBuffer(buffer: Uint8Array): void {
  if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(buffer);
}
