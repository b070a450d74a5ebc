/**
 * Another process's memory, mapped from a descriptor that it handed over: mmap(2).
 *
 * A page of a mapping that its file has no bytes for kills this process by SIGBUS at the first touch.
 * So a mapping has to lie within the file as it is now, and a memfd is sealed against shrinking where
 * it allows that. What is left: a file without seals (one on a tmpfs, hugetlbfs or disk, or a memfd
 * made without MFD_ALLOW_SEALING) can be truncated later, a sparse one can meet a full file system,
 * and a hugetlbfs one can run out of pages. {@link SharedMapping.isSealed} tells.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { fstatSync } from "node:fs";
import { VsockboxError } from "../errors.ts";
import { systemError } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";

/** bits/mman-linux.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** No swap space is set aside for memory that is another process's. */
const MAP_NORESERVE = 0x4000;

/** linux/fcntl.h. */
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 0x2;

/** Mappings begin at pages; the largest size that arm64 knows, in bytes, suits all smaller ones. */
const PAGE_BYTES = 65536;

/** Huge pages are no larger on any machine of ours, in bytes: arm64 with 64 KiB pages has 16 GiB. */
const MAX_PAGE_BYTES = 2 ** 34;

/** Memory shared with another process. */
export interface SharedMapping {
  /** Where it begins in this process. */
  readonly address: number;
  /** In bytes. */
  readonly size: number;
  /** Whether its file cannot shrink any more, so that no touch ends in SIGBUS. */
  readonly isSealed: boolean;
  /**
   * A part of it as bytes, not copied; for a DataView or typed array, too. Touching one after
   * {@link unmap} crashes the process: the holder forgets them before.
   *
   * @throws {VsockboxError} SOFTWARE where the part is not within the mapping, or it is unmapped.
   */
  view(offset: number, length: number): Uint8Array;
  /** munmap(2). A second call does nothing. */
  unmap(): void;
}

/** Seals it against shrinking where that is allowed. Gives whether it is sealed. */
function seal(fd: number): boolean {
  const seals = libc().fcntl(fd, F_GET_SEALS, 0);
  if (seals < 0) return false;
  if ((seals & F_SEAL_SHRINK) !== 0) return true;
  return libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) === 0;
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "map memory", message });
}

/** Gives what its mappings have to be multiples of: on hugetlbfs that is what it says as block size. */
function checkFile(fd: number, offset: number, size: number): number {
  let stat: { isFile(): boolean; size: number; blksize: number };
  try {
    stat = fstatSync(fd);
  } catch {
    throw bad("its descriptor is not open");
  }
  if (!stat.isFile()) throw bad("its descriptor is no memfd and no file");
  if (offset + size > stat.size) {
    throw bad(`${size} bytes at ${offset} do not fit in a file of ${stat.size} bytes`);
  }
  const isPage = stat.blksize <= MAX_PAGE_BYTES && Number.isInteger(Math.log2(stat.blksize));
  return isPage ? Math.max(stat.blksize, PAGE_BYTES) : PAGE_BYTES;
}

/**
 * Maps `size` bytes from `offset` on of the memory behind `fd`, shared, for reading and writing. The
 * descriptor stays the caller's and may be closed right after.
 *
 * @throws {VsockboxError} BAD_DATA where the file does not have these bytes; IO with the errno.
 */
export function mapShared(fd: number, offset: number, size: number): SharedMapping {
  const isExact = [offset, size, offset + size].every((value) => Number.isSafeInteger(value));
  if (!isExact || offset < 0 || size <= 0) throw bad(`${size} bytes at ${offset}`);
  // Sealed first: after the check there is no shrinking any more.
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
          operation: "look at mapped memory",
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
