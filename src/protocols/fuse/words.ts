/**
 * 64-bit fields as numbers: a bigint would be allocated for each. What a field holds above 2^53 loses its
 * lowest bits, which the callers refuse as a size or an offset.
 */

const WORD = 2 ** 32;

/** Reads a little-endian u64 as a number. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * WORD;
}

/** Writes a non-negative integer, or a bigint of up to 64 bits, as a little-endian u64. */
export function writeU64(view: DataView, at: number, value: number | bigint): void {
  if (typeof value === "bigint") {
    view.setBigUint64(at, value, true);
    return;
  }
  view.setUint32(at, value % WORD, true);
  view.setUint32(at + 4, value / WORD, true);
}

/** Writes an integer of either sign, as time_t has it, as a little-endian i64. */
export function writeI64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / WORD), true);
}

/** Reads a little-endian i64 as a number. */
export function readI64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getInt32(at + 4, true) * WORD;
}
