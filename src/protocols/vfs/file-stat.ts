/**
 * Facts of a file between two of ours: 104 bytes, big-endian, in one byte string, since a listing has
 * thousands of them.
 *
 *     0 u64 ino       24 u32 mode   40 u64 rdev     64 i64 atime    80 i64 mtime        96 u32 ctime ns
 *     8 u64 dev       28 u32 nlink  48 u64 size     72 u32 atime ns 88 i64 ctime       100 u32 blksize
 *    16 u64 birth ns  32 u32 uid    56 u64 blocks   76 u32 mtime ns
 *                     36 u32 gid
 *
 * Later versions may append fields: readers ignore what follows.
 */
import type { FileStat } from "../../file-stat.ts";
import type { CborValue } from "./cbor-values.ts";
import { RefusedField } from "./fields.ts";

/** Bytes of a packed {@link FileStat}. */
export const STAT_BYTES = 104;

/** Writes the facts at an offset; the view must have {@link STAT_BYTES} from there. */
export function writeStat(view: DataView, at: number, stat: FileStat): void {
  view.setBigUint64(at, stat.ino);
  view.setBigUint64(at + 8, stat.dev);
  view.setBigUint64(at + 16, stat.birth);
  view.setUint32(at + 24, stat.mode);
  view.setUint32(at + 28, stat.nlink);
  view.setUint32(at + 32, stat.uid);
  view.setUint32(at + 36, stat.gid);
  writeNumber(view, at + 40, stat.rdev);
  writeNumber(view, at + 48, stat.size);
  writeNumber(view, at + 56, stat.blocks);
  writeNumber(view, at + 64, stat.atime.seconds);
  view.setUint32(at + 72, stat.atime.nanoseconds);
  view.setUint32(at + 76, stat.mtime.nanoseconds);
  writeNumber(view, at + 80, stat.mtime.seconds);
  writeNumber(view, at + 88, stat.ctime.seconds);
  view.setUint32(at + 96, stat.ctime.nanoseconds);
  view.setUint32(at + 100, stat.blksize);
}

/** Reads facts at an offset; the view must have {@link STAT_BYTES} from there. */
export function readStat(view: DataView, at: number): FileStat {
  return {
    ino: view.getBigUint64(at),
    dev: view.getBigUint64(at + 8),
    birth: view.getBigUint64(at + 16),
    mode: view.getUint32(at + 24),
    nlink: view.getUint32(at + 28),
    uid: view.getUint32(at + 32),
    gid: view.getUint32(at + 36),
    rdev: readNumber(view, at + 40),
    size: readNumber(view, at + 48),
    blocks: readNumber(view, at + 56),
    atime: { seconds: readNumber(view, at + 64), nanoseconds: view.getUint32(at + 72) },
    mtime: { seconds: readNumber(view, at + 80), nanoseconds: view.getUint32(at + 76) },
    ctime: { seconds: readNumber(view, at + 88), nanoseconds: view.getUint32(at + 96) },
    blksize: view.getUint32(at + 100),
  };
}

const WORD = 2 ** 32;

/** A signed number of 64 bits without a bigint; exact up to 2^53. */
function writeNumber(view: DataView, at: number, value: number): void {
  view.setInt32(at, Math.floor(value / WORD));
  view.setUint32(at + 4, value % WORD < 0 ? (value % WORD) + WORD : value % WORD);
}

function readNumber(view: DataView, at: number): number {
  return view.getInt32(at) * WORD + view.getUint32(at + 4);
}

/** Packs facts into a byte string. */
export function packStat(stat: FileStat): Uint8Array {
  const bytes = new Uint8Array(STAT_BYTES);
  writeStat(new DataView(bytes.buffer), 0, stat);
  return bytes;
}

/**
 * Reads a packed byte string of a message.
 *
 * @throws {RefusedField} if it is too short.
 */
export function unpackStat(value: CborValue): FileStat {
  if (!(value instanceof Uint8Array) || value.length < STAT_BYTES) {
    throw new RefusedField(`stat is not a byte string of at least ${STAT_BYTES} bytes`);
  }
  return readStat(new DataView(value.buffer, value.byteOffset, value.byteLength), 0);
}
