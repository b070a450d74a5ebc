/**
 * Entries of a directory between two of ours, packed into one byte string. Each is
 *
 *     u16 bytes of the stat (0 or 104)   u8 type   u8 bytes of the name   u64 ino   u64 offset   name   stat
 *
 * big-endian, without padding. `type` is d_type of readdir(3). `offset` is opaque: a request with it
 * continues after this entry.
 */
import type { FileStat } from "../../file-stat.ts";
import { readStat, STAT_BYTES, writeStat } from "./file-stat.ts";
import { RefusedField } from "./fields.ts";

/** Bytes in front of a name. */
const HEAD_BYTES = 20;

/** An entry of a directory. */
export interface VfsEntry {
  name: Uint8Array;
  /** As `d_type` of readdir(3); 0 if unknown. */
  type: number;
  ino: bigint;
  /** Where a listing continues after this entry. */
  offset: bigint;
  /** Only of readdirPlus; undefined if the file was removed meanwhile. */
  stat: FileStat | undefined;
}

/** Packs entries into a buffer of a fixed size. */
export class EntryPacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #used = 0;

  constructor(capacityBytes: number) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Returns the entries so far, as a view. */
  get packed(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }

  /** Adds an entry; false if it does not fit. */
  add({ name, type, ino, offset, stat }: VfsEntry): boolean {
    const statBytes = stat === undefined ? 0 : STAT_BYTES;
    const end = this.#used + HEAD_BYTES + name.length + statBytes;
    if (end > this.#bytes.length) return false;
    const at = this.#used;
    this.#view.setUint16(at, statBytes);
    this.#view.setUint8(at + 2, type);
    this.#view.setUint8(at + 3, name.length);
    this.#view.setBigUint64(at + 4, ino);
    this.#view.setBigUint64(at + 12, offset);
    this.#bytes.set(name, at + HEAD_BYTES);
    if (stat !== undefined) writeStat(this.#view, at + HEAD_BYTES + name.length, stat);
    this.#used = end;
    return true;
  }
}

/**
 * Reads packed entries. Names are views.
 *
 * @throws {RefusedField} if it ends inside an entry, or a name cannot be one.
 */
export function unpackEntries(packed: Uint8Array): VfsEntry[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const entries: VfsEntry[] = [];
  for (let at = 0; at < packed.length;) {
    if (at + HEAD_BYTES > packed.length) throw new RefusedField("an entry is incomplete");
    const statBytes = view.getUint16(at);
    const nameAt = at + HEAD_BYTES;
    const statAt = nameAt + view.getUint8(at + 3);
    const end = statAt + statBytes;
    if (end > packed.length || (statBytes !== 0 && statBytes < STAT_BYTES)) {
      throw new RefusedField("an entry is incomplete");
    }
    entries.push({
      name: checkName(packed.subarray(nameAt, statAt)),
      type: view.getUint8(at + 2),
      ino: view.getBigUint64(at + 4),
      offset: view.getBigUint64(at + 12),
      stat: statBytes === 0 ? undefined : readStat(view, statAt),
    });
    at = end;
  }
  return entries;
}

const SLASH = 0x2f;

function checkName(name: Uint8Array): Uint8Array {
  if (name.length === 0 || name.includes(SLASH) || name.includes(0)) {
    throw new RefusedField("the name of an entry is empty, or contains a slash or a NUL byte");
  }
  return name;
}
