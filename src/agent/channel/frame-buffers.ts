/**
 * Reusable buffers for large Data frames: a new one for each frame costs a page fault for every 4 KiB,
 * which is more than the copy into it.
 */
import { DATA_HEADER_BYTES, MAX_CHANNEL_DATA_BYTES } from "../../protocols/agent/channel-frames.ts";

/** Limit of unused buffers, for all channels together. */
const MAX_SPARE_BUFFERS = 2;

/** Copies to addresses that are multiples of this are many times as fast as others, in bytes. */
const ALIGNMENT_BYTES = 64;

/** Offset of a frame in its buffer, by which the bytes after its header are aligned. */
const FRAME_OFFSET_BYTES = ALIGNMENT_BYTES - DATA_HEADER_BYTES;

const spareBuffers: Uint8Array[] = [];

/** Returns a buffer for one Data frame, with any content; see {@link frameIn}. */
export function borrowFrameBuffer(): Uint8Array {
  return spareBuffers.pop() ?? new Uint8Array(ALIGNMENT_BYTES + MAX_CHANNEL_DATA_BYTES);
}

/**
 * Returns the frame in a buffer that has space for the header and this many bytes after it.
 *
 * @param dataBytes at most `MAX_CHANNEL_DATA_BYTES`.
 */
export function frameIn(buffer: Uint8Array, dataBytes: number): Uint8Array {
  return buffer.subarray(FRAME_OFFSET_BYTES, ALIGNMENT_BYTES + dataBytes);
}

/** Keeps a buffer for the next frame, once the kernel has all of its bytes. */
export function returnFrameBuffer(buffer: Uint8Array): void {
  if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(buffer);
}
