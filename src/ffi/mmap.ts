/**
 * Memory by mmap(2): shared by another process, mapped from a descriptor that it has sent; or of this
 * process alone, which goes back to the kernel at once when it is unmapped, unlike that of the runtime.
 *
 * An access beyond the end of the file kills this process by SIGBUS. So a mapping must lie within the
 * present file, and a memfd is sealed against shrinking if it allows that. Remaining cases: a file without
 * seals (one on a tmpfs, hugetlbfs or disk, or a memfd
 * made without MFD_ALLOW_SEALING) can be truncated later, a sparse one can meet a full file system,
 * and a hugetlbfs one can run out of pages. {@link SharedMapping.isSealed} reports which.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { fstatSync } from "node:fs";
import { VsockboxError } from "../errors.ts";
import { systemError } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";

/** bits/mman-linux.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
/** No swap space is reserved for memory of another process. */
const MAP_NORESERVE = 0x4000;

/** linux/fcntl.h. */
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 0x2;

/** Mappings begin at pages; the largest size that arm64 knows, in bytes, suits all smaller ones. */
const PAGE_BYTES = 65536;

/** The largest huge page of the supported architectures, in bytes: 16 GiB on arm64 with 64 KiB pages. */
const MAX_PAGE_BYTES = 2 ** 34;

/** Memory shared with another process. */
export interface SharedMapping {
  /** The address of its first byte in this process. */
  readonly address: number;
  /** In bytes. */
  readonly size: number;
  /** Whether its file cannot shrink, so that no access ends in SIGBUS. */
  readonly isSealed: boolean;
  /**
   * A part of it as bytes, not copied; for a DataView or typed array, too. Touching one after
   * {@link unmap} crashes the process: the holder forgets them before.
   *
   * @throws {VsockboxError} SOFTWARE if the part is not within the mapping, or it is unmapped.
   */
  view(offset: number, length: number): Uint8Array;
  /** munmap(2). A second call does nothing. */
  unmap(): void;
}

/** Seals a file against shrinking if it allows that. Returns whether it is sealed. */
function seal(fd: number): boolean {
  const seals = libc().fcntl(fd, F_GET_SEALS, 0);
  if (seals < 0) return false;
  if ((seals & F_SEAL_SHRINK) !== 0) return true;
  return libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) === 0;
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "map memory", message });
}

/** Returns the alignment of mappings of a file: on hugetlbfs its block size. */
function checkFile(fd: number, offset: number, size: number): number {
  let stat: { isFile(): boolean; size: number; blksize: number };
  try {
    stat = fstatSync(fd);
  } catch {
    throw bad("its descriptor is not open");
  }
  if (!stat.isFile()) throw bad("its descriptor is neither a memfd nor a file");
  if (offset + size > stat.size) {
    throw bad(`${size} bytes at ${offset} do not fit in a file of ${stat.size} bytes`);
  }
  const isPage = stat.blksize <= MAX_PAGE_BYTES && Number.isInteger(Math.log2(stat.blksize));
  return isPage ? Math.max(stat.blksize, PAGE_BYTES) : PAGE_BYTES;
}

/**
 * Maps `size` bytes of `fd` from `offset` on, shared, for reading and writing. The caller keeps the
 * descriptor and may close it right after.
 *
 * @throws {VsockboxError} BAD_DATA if the file does not have these bytes; IO with the errno.
 */
export function mapShared(fd: number, offset: number, size: number): SharedMapping {
  const isExact = [offset, size, offset + size].every((value) => Number.isSafeInteger(value));
  if (!isExact || offset < 0 || size <= 0) throw bad(`${size} bytes at ${offset}`);
  // Sealed first: the file must not shrink after the check.
  const isSealed = seal(fd);
  const page = checkFile(fd, offset, size);
  const before = offset % page;
  const mappedBytes = Math.ceil((before + size) / page) * page;
  const mapped = Number(
    libc().mmap(
      null,
      mappedBytes,
      PROT_READ_WRITE,
      MAP_SHARED | MAP_NORESERVE,
      fd,
      BigInt(offset - before),
    ),
  );
  if (mapped === -1) throw systemError(lastErrno(), { operation: "map memory", code: "IO" });
  const address = mapped + before;
  let isMapped = true;
  return {
    address,
    size,
    isSealed,
    view(from, length) {
      if (!isMapped || from < 0 || length < 0 || from + length > size) {
        throw new VsockboxError({
          code: "SOFTWARE",
          operation: "read mapped memory",
          message: isMapped ? `${length} bytes at ${from} of ${size}` : "it is unmapped",
        });
      }
      return new Uint8Array(toArrayBuffer((address + from) as Pointer, 0, length));
    },
    unmap() {
      if (!isMapped) return;
      isMapped = false;
      libc().munmap(mapped as Pointer, mappedBytes);
    },
  };
}

/** Memory of this process alone, zero at first; pages that were never written use no memory. */
export interface PrivateMapping {
  /** All of it. Touching it after {@link unmap} crashes the process: the holder forgets it before. */
  readonly bytes: Uint8Array;
  /** munmap(2). A second call does nothing. */
  unmap(): void;
}

/**
 * Maps memory of this process alone.
 *
 * @param size in bytes, greater than zero.
 * @throws {VsockboxError} IO with the errno.
 */
export function mapPrivate(size: number): PrivateMapping {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const address = Number(libc().mmap(null, size, PROT_READ_WRITE, flags, -1, 0n));
  if (address === -1) throw systemError(lastErrno(), { operation: "map memory", code: "IO" });
  let isMapped = true;
  return {
    bytes: new Uint8Array(toArrayBuffer(address as Pointer, 0, size)),
    unmap() {
      if (!isMapped) return;
      isMapped = false;
      libc().munmap(address as Pointer, size);
    },
  };
}
