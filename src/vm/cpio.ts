/**
 * Archives in the "newc" cpio format, which the kernel unpacks as an initramfs:
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

/** Bytes of a header: a magic of 6 and 13 fields of 8 hexadecimal digits. */
export const CPIO_HEADER_BYTES = 110;

/** File types in `mode`, inode(7). */
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;

/** Data is copied in pieces of this size, so that no file is held in memory. */
const COPY_BYTES = 1024 * 1024;

/** What stands in an archive. Paths have no leading slash; parents come before their children. */
export type CpioEntry =
  | { kind: "directory"; path: string; mode: number }
  | { kind: "file"; path: string; mode: number; data: Uint8Array }
  /** The content is copied from this machine's file `source`. */
  | { kind: "copy"; path: string; mode: number; source: string }
  | { kind: "symlink"; path: string; target: string }
  | { kind: "character device"; path: string; mode: number; major: number; minor: number };

interface HeaderFields {
  inode: number;
  mode: number;
  links: number;
  size: number;
  device: readonly [major: number, minor: number];
  nameBytes: number;
}

function header({ inode, mode, links, size, device, nameBytes }: HeaderFields): string {
  // Owner and time are zero: an archive of the same files is the same bytes.
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, ...device, nameBytes, 0];
  return `070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`;
}

const padding = (bytes: number) => new Uint8Array((4 - (bytes % 4)) % 4);

/** Writes archives one entry after the other to an open file. */
export class CpioWriter {
  readonly #fd: number;
  #inode = 1;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Adds an entry. */
  add(entry: CpioEntry): void {
    switch (entry.kind) {
      case "directory":
        return this.#data(entry.path, S_IFDIR | entry.mode, new Uint8Array(0), 2);
      case "file":
        return this.#data(entry.path, S_IFREG | entry.mode, entry.data);
      case "symlink":
        return this.#data(entry.path, S_IFLNK | 0o777, new TextEncoder().encode(entry.target));
      case "character device":
        return this.#head(entry.path, S_IFCHR | entry.mode, 0, 1, [entry.major, entry.minor]);
      case "copy":
        return this.#copy(entry.path, S_IFREG | entry.mode, entry.source);
    }
  }

  /** Ends the archive. Another one may follow in the same file. */
  finish(): void {
    this.#head("TRAILER!!!", 0, 0, 1);
  }

  #head(
    path: string,
    mode: number,
    size: number,
    links: number,
    device: readonly [number, number] = [0, 0],
  ): void {
    const name = new TextEncoder().encode(`${path}\0`);
    const fields = { inode: this.#inode++, mode, links, size, device, nameBytes: name.length };
    this.#write(new TextEncoder().encode(header(fields)));
    this.#write(name);
    this.#write(padding(CPIO_HEADER_BYTES + name.length));
  }

  #data(path: string, mode: number, data: Uint8Array, links = 1): void {
    this.#head(path, mode, data.length, links);
    this.#write(data);
    this.#write(padding(data.length));
  }

  #copy(path: string, mode: number, source: string): void {
    const fd = openSync(source, "r");
    try {
      const { size } = fstatSync(fd);
      this.#head(path, mode, size, 1);
      const buffer = new Uint8Array(COPY_BYTES);
      let left = size;
      while (left > 0) {
        const count = readSync(fd, buffer, 0, Math.min(left, buffer.length), null);
        if (count === 0) throw new Error(`${source} became shorter while it was copied`);
        this.#write(buffer.subarray(0, count));
        left -= count;
      }
      this.#write(padding(size));
    } finally {
      closeSync(fd);
    }
  }

  #write(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(writeSync(this.#fd, rest));
  }
}
