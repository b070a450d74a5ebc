/**
 * Answers to the kernel, as write(2) to /dev/fuse expects them: `struct fuse_out_header`, then the
 * structure of the operation. A failure is the header alone, with a negative errno.
 *
 *   len u32, error i32, unique u64
 *
 * A notification has unique 0 and its code in place of the error.
 */
import { NOTIFY_INVALIDATE_NODE, OUT_HEADER_BYTES } from "./constants.ts";
import type { FuseTime } from "./request.ts";
import { writeI64, writeU64 } from "./words.ts";

/** Sizes of the structures, in bytes. */
const ATTRIBUTES_BYTES = 88;
const ENTRY_BYTES = 40 + ATTRIBUTES_BYTES;
const ATTRIBUTES_OUT_BYTES = 16 + ATTRIBUTES_BYTES;
const OPEN_BYTES = 16;
const INIT_BYTES = 64;
const STATFS_BYTES = 80;
const DIRENT_BYTES = 24;
const INVALIDATE_BYTES = 24;

/** st_blksize of every file: the C library's buffered output is then one request each 128 KiB. */
const PREFERRED_BYTES = 131_072;

/** Directory entries begin at multiples of this, FUSE_DIRENT_ALIGN. */
const ALIGNMENT = 8;

/** Attributes of a file, struct fuse_attr. */
export interface FuseAttributes {
  /** The number that users see, not the node ID. */
  ino: number | bigint;
  size: number;
  /** Of 512 bytes. */
  blocks: number;
  atime: FuseTime;
  mtime: FuseTime;
  ctime: FuseTime;
  /** Type and permission bits. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Of a device node, as new_encode_dev() of the kernel has it. */
  rdev: number;
}

/** How long the kernel may use a name and attributes without asking, in milliseconds. */
export interface Validity {
  entryMs: number;
  attributesMs: number;
}

/** A name's node with its attributes, struct fuse_entry_out. */
export interface FuseEntry {
  /** 0: the name does not exist, and the kernel may remember that. */
  node: number;
  generation: number;
  attributes: FuseAttributes | undefined;
}

/** The features of a session, struct fuse_init_out. */
export interface FuseSettings {
  minor: number;
  maxReadAhead: number;
  /** Bits of `InitFlag`. */
  flags: number;
  /** Bits of `InitUpperFlag`. */
  upperFlags: number;
  /** How many requests without a waiting process the kernel sends at once. */
  maxBackground: number;
  congestionThreshold: number;
  /** In bytes. */
  maxWrite: number;
  /** Pages of one request. */
  maxPages: number;
}

/** Numbers of statvfs(3), struct fuse_kstatfs. */
export interface FuseFilesystem {
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  /** In bytes. */
  bsize: number;
  frsize: number;
  /** Longest name, in bytes. */
  namelen: number;
}

function writeTimeout(view: DataView, seconds: number, nanoseconds: number, ms: number): void {
  writeU64(view, seconds, Math.floor(ms / 1000));
  view.setUint32(nanoseconds, (ms % 1000) * 1_000_000, true);
}

function writeAttributes(view: DataView, at: number, attributes: FuseAttributes): void {
  writeU64(view, at, attributes.ino);
  writeU64(view, at + 8, attributes.size);
  writeU64(view, at + 16, attributes.blocks);
  writeI64(view, at + 24, attributes.atime.seconds);
  writeI64(view, at + 32, attributes.mtime.seconds);
  writeI64(view, at + 40, attributes.ctime.seconds);
  view.setUint32(at + 48, attributes.atime.nanoseconds, true);
  view.setUint32(at + 52, attributes.mtime.nanoseconds, true);
  view.setUint32(at + 56, attributes.ctime.nanoseconds, true);
  view.setUint32(at + 60, attributes.mode, true);
  view.setUint32(at + 64, attributes.nlink, true);
  view.setUint32(at + 68, attributes.uid, true);
  view.setUint32(at + 72, attributes.gid, true);
  view.setUint32(at + 76, attributes.rdev, true);
  view.setUint32(at + 80, PREFERRED_BYTES, true);
  view.setUint32(at + 84, 0, true);
}

/** A buffer in which one answer after the other is laid out: nothing is allocated for an answer. */
export class FuseReply {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #length = OUT_HEADER_BYTES;

  /** @param capacity of the largest answer, the header included; in bytes. */
  constructor(capacity: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.#view = new DataView(this.bytes.buffer);
  }

  /** The number of bytes of this answer. */
  get length(): number {
    return this.#length;
  }

  /** Begins an answer without a body. */
  begin(): this {
    this.#length = OUT_HEADER_BYTES;
    return this;
  }

  /**
   * Completes the header.
   *
   * @param error 0, or a positive errno.
   * @param dataBytes of what follows in another buffer.
   */
  finish(unique: number, error = 0, dataBytes = 0): void {
    this.#view.setUint32(0, this.#length + dataBytes, true);
    this.#view.setInt32(4, -error, true);
    writeU64(this.#view, 8, unique);
  }

  #add(count: number): number {
    const at = this.#length;
    this.#length += count;
    this.bytes.fill(0, at, this.#length);
    return at;
  }

  entry(entry: FuseEntry, validity: Validity): this {
    this.#writeEntry(this.#add(ENTRY_BYTES), entry, validity);
    return this;
  }

  #writeEntry(at: number, { node, generation, attributes }: FuseEntry, validity: Validity): void {
    const view = this.#view;
    writeU64(view, at, node);
    writeU64(view, at + 8, generation);
    writeTimeout(view, at + 16, at + 32, validity.entryMs);
    writeTimeout(view, at + 24, at + 36, validity.attributesMs);
    if (attributes !== undefined) writeAttributes(view, at + 40, attributes);
  }

  attributes(attributes: FuseAttributes, validForMs: number): this {
    const at = this.#add(ATTRIBUTES_OUT_BYTES);
    writeTimeout(this.#view, at, at + 8, validForMs);
    writeAttributes(this.#view, at + 16, attributes);
    return this;
  }

  /** @param flags bits of `OpenedFlag`. */
  opened(handle: number, flags: number): this {
    const at = this.#add(OPEN_BYTES);
    writeU64(this.#view, at, handle);
    this.#view.setUint32(at + 8, flags, true);
    return this;
  }

  /** The number of bytes that WRITE or COPY_FILE_RANGE has written, or that an attribute has. */
  size(count: number): this {
    this.#view.setUint32(this.#add(8), count, true);
    return this;
  }

  /** The offset that LSEEK has found. */
  offset(offset: number): this {
    writeU64(this.#view, this.#add(8), offset);
    return this;
  }

  /** Bytes as they are: a link's target, attribute names. */
  data(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#add(bytes.length));
    return this;
  }

  filesystem(facts: FuseFilesystem): this {
    const at = this.#add(STATFS_BYTES);
    [facts.blocks, facts.bfree, facts.bavail, facts.files, facts.ffree].forEach((count, index) =>
      writeU64(this.#view, at + 8 * index, count),
    );
    this.#view.setUint32(at + 40, facts.bsize, true);
    this.#view.setUint32(at + 44, facts.namelen, true);
    this.#view.setUint32(at + 48, facts.frsize, true);
    return this;
  }

  settings(settings: FuseSettings): this {
    const at = this.#add(INIT_BYTES);
    const view = this.#view;
    view.setUint32(at, 7, true);
    view.setUint32(at + 4, settings.minor, true);
    view.setUint32(at + 8, settings.maxReadAhead, true);
    view.setUint32(at + 12, settings.flags, true);
    view.setUint16(at + 16, settings.maxBackground, true);
    view.setUint16(at + 18, settings.congestionThreshold, true);
    view.setUint32(at + 20, settings.maxWrite, true);
    // Granularity of times, in nanoseconds.
    view.setUint32(at + 24, 1, true);
    view.setUint16(at + 28, settings.maxPages, true);
    view.setUint32(at + 32, settings.upperFlags, true);
    return this;
  }

  /**
   * Adds a directory entry.
   *
   * @param type d_type of readdir(3).
   * @param next the offset of the entry after this one.
   * @param limit how many bytes of entries the answer may have.
   * @returns false if the entry does not fit, and was not added.
   */
  directoryEntry(
    { name, ino, type, next }: DirectoryName,
    plus: { entry: FuseEntry; validity: Validity } | undefined,
    limit: number,
  ): boolean {
    const start = plus === undefined ? 0 : ENTRY_BYTES;
    const length = Math.ceil((start + DIRENT_BYTES + name.length) / ALIGNMENT) * ALIGNMENT;
    if (this.#length - OUT_HEADER_BYTES + length > limit) return false;
    const at = this.#add(length);
    if (plus !== undefined) this.#writeEntry(at, plus.entry, plus.validity);
    const view = this.#view;
    writeU64(view, at + start, ino);
    writeU64(view, at + start + 8, next);
    view.setUint32(at + start + 16, name.length, true);
    view.setUint32(at + start + 20, type, true);
    this.bytes.set(name, at + start + DIRENT_BYTES);
    return true;
  }
}

/** One name of READDIR. */
export interface DirectoryName {
  name: Uint8Array;
  ino: number | bigint;
  type: number;
  next: number | bigint;
}

/**
 * Returns the notification that attributes of a node have changed, and with them perhaps its data, which
 * the kernel finds out by itself with FUSE_AUTO_INVAL_DATA: invalidating pages here would wait for reads
 * that this program is still to answer.
 */
export function encodeInvalidateNode(node: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(OUT_HEADER_BYTES + INVALIDATE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setInt32(4, NOTIFY_INVALIDATE_NODE, true);
  writeU64(view, OUT_HEADER_BYTES, node);
  // A negative offset means the attributes alone.
  writeI64(view, OUT_HEADER_BYTES + 8, -1);
  return bytes;
}
