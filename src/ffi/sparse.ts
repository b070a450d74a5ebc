/** Data and holes of a sparse file: lseek(2). */
import { lastErrno, libc } from "./libc.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** errno: no more data after the offset. */
const ENXIO = 6;

function seek(fd: number, offset: number, whence: number): number {
  return Number(libc().lseek(fd, offset, whence));
}

/**
 * Returns the offset of the first data at or after `offset`; undefined if only a hole is left. A file
 * system without holes has data everywhere.
 */
export function nextData(fd: number, offset: number): number | undefined {
  const found = seek(fd, offset, SEEK_DATA);
  if (found >= 0) return found;
  return lastErrno() === ENXIO ? undefined : offset;
}

/** Returns the offset of the first hole at or after `offset`, at most the file's size. */
export function nextHole(fd: number, offset: number): number | undefined {
  const found = seek(fd, offset, SEEK_HOLE);
  return found >= 0 ? found : undefined;
}
