/**
 * Archives in the "newc" cpio format, which the kernel unpacks as an initramfs:
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { VsockboxError } from "../errors.ts";

/** Bytes of a header: a magic of 6 and 13 fields of 8 hexadecimal digits. */
export const CPIO_HEADER_BYTES = 110;

/** Every header, and an archive that follows in the same file, begins at a multiple of this. */
const CPIO_ALIGNMENT_BYTES = 4;

/** File types in `mode`, inode(7). */
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;

/** Data is copied in pieces of this size, so that no file is held in memory. */
const COPY_BYTES = 1024 * 1024;

/** The format has 8 hexadecimal digits for a size. */
const MAX_FILE_BYTES = 0xffff_ffff;

/** What stands in an archive. Paths have no leading slash; parents come before their children. */
export type CpioEntry =
  | { kind: "directory"; path: string; mode: number }
  | { kind: "file"; path: string; mode: number; data: Uint8Array }
  /** The content is copied from the local file `source`. */
  | { kind: "copy"; path: string; mode: number; source: string }
  | { kind: "symlink"; path: string; target: string }
  | { kind: "character device"; path: string; mode: number; major: number; minor: number };

/**
 * Generates the bytes of a whole archive as they are read. Owner and times are zero: an archive of the
 * same entries is the same bytes.
 *
 * @throws {VsockboxError} CONFIG for a file that does not fit in the format; the file system's errors.
 */
export function* archiveBytes(entries: Iterable<CpioEntry>): Generator<Uint8Array> {
  let inode = 1;
  for (const entry of entries) yield* entryBytes(entry, inode++);
  yield head({ inode, path: "TRAILER!!!", mode: 0, links: 1 });
}

function* entryBytes(entry: CpioEntry, inode: number): Generator<Uint8Array> {
  const { path } = entry;
  switch (entry.kind) {
    case "directory":
      return yield head({ inode, path, mode: S_IFDIR | entry.mode, links: 2 });
    case "file":
      return yield* withData({ inode, path, mode: S_IFREG | entry.mode }, entry.data);
    case "symlink": {
      const target = new TextEncoder().encode(entry.target);
      return yield* withData({ inode, path, mode: S_IFLNK | 0o777 }, target);
    }
    case "character device": {
      const { mode, major, minor } = entry;
      return yield head({ inode, path, mode: S_IFCHR | mode, links: 1, device: [major, minor] });
    }
    case "copy":
      return yield* withCopy({ inode, path, mode: S_IFREG | entry.mode }, entry.source);
  }
}

function* withData(
  fields: { inode: number; path: string; mode: number },
  data: Uint8Array,
): Generator<Uint8Array> {
  yield head({ ...fields, links: 1, size: data.length });
  yield data;
  yield padding(data.length);
}

function* withCopy(
  fields: { inode: number; path: string; mode: number },
  source: string,
): Generator<Uint8Array> {
  const fd = openSync(source, "r");
  try {
    const { size } = fstatSync(fd);
    if (size > MAX_FILE_BYTES) throw unfit(source, "it is larger than the format can hold (4 GiB)");
    yield head({ ...fields, links: 1, size });
    for (let left = size; left > 0;) {
      const buffer = new Uint8Array(Math.min(left, COPY_BYTES));
      const count = readSync(fd, buffer, 0, buffer.length, null);
      if (count === 0) throw unfit(source, "it became shorter while it was copied");
      yield buffer.subarray(0, count);
      left -= count;
    }
    yield padding(size);
  } finally {
    closeSync(fd);
  }
}

function unfit(source: string, message: string): VsockboxError {
  return new VsockboxError({ code: "CONFIG", operation: "pack", address: source, message });
}

interface HeaderFields {
  inode: number;
  path: string;
  mode: number;
  links: number;
  size?: number;
  device?: readonly [major: number, minor: number];
}

/** Returns header and name with their padding. */
function head({ inode, path, mode, links, size = 0, device = [0, 0] }: HeaderFields): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`);
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, ...device, name.length, 0];
  const digits = fields.map((value) => value.toString(16).padStart(8, "0")).join("");
  const length = CPIO_HEADER_BYTES + name.length;
  const bytes = new Uint8Array(length + padding(length).length);
  bytes.set(new TextEncoder().encode(`070701${digits}`));
  bytes.set(name, CPIO_HEADER_BYTES);
  return bytes;
}

/** Returns the zeros from an offset to the next aligned header. */
export function padding(offset: number): Uint8Array {
  const over = offset % CPIO_ALIGNMENT_BYTES;
  return new Uint8Array(over === 0 ? 0 : CPIO_ALIGNMENT_BYTES - over);
}
