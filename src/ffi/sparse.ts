/** Where a sparse file has data and where holes: lseek(2). */
import { lastErrno, libc } from "./libc.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** errno: no more data behind the offset. */
const ENXIO = 6;

function seek(fd: number, offset: number, whence: number): number {
  return Number(libc().lseek(fd, offset, whence));
}

/**
 * Where data begins at or behind `offset`; undefined where only a hole is left. A file system that
 * knows no holes has data everywhere.
 */
export function nextData(fd: number, offset: number): number | undefined {
  const found = seek(fd, offset, SEEK_DATA);
  if (found >= 0) return found;
  return lastErrno() === ENXIO ? undefined : offset;
}

/** Where the next hole at or behind `offset` begins: at the file's end at the latest. */
export function nextHole(fd: number, offset: number): number | undefined {
  const found = seek(fd, offset, SEEK_HOLE);
  return found >= 0 ? found : undefined;
}
