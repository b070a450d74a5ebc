/** Large files piece by piece, so that none is held in memory. */
import { readSync } from "node:fs";

/** Large enough for the disk, small enough for a guest with little memory. */
const PIECE_BYTES = 1024 * 1024;

/** An open file's bytes from its beginning. Each piece is only good until the next. */
export function* pieces(fd: number): Generator<Uint8Array, void, void> {
  const buffer = new Uint8Array(PIECE_BYTES);
  for (let offset = 0; ;) {
    const count = readSync(fd, buffer, 0, buffer.length, offset);
    if (count === 0) return;
    yield buffer.subarray(0, count);
    offset += count;
  }
}
