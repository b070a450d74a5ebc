/** Operations on open files, by their handles. */
import { fdatasync, fsync } from "node:fs";
import { ERRNO } from "../../ffi/errno.ts";
import { allocate, appendTo, copyRange, readFrom, seekTo, writeTo } from "../../ffi/file-calls.ts";
import { ptr } from "../../ffi/libc.ts";
import { MAX_IO_BYTES, WRITE_APPENDS } from "../../protocols/vfs/operations.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { type DirectoryContext, outcome } from "./directory-context.ts";
import type { ExportedFile } from "./export-handles.ts";

/** A copy is done in pieces, so that others have their turn. */
const MAX_COPY_BYTES = 16 * 1024 * 1024;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Of fallocate(2): KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE; the others change what lies after the range. */
const FALLOCATE_MODES = 0x01 | 0x02 | 0x10;

/** A regular file that is open; undefined for another one or an unknown handle. */
function fileOf({ handles }: DirectoryContext, handle: number): ExportedFile | undefined {
  const file = handles.get(handle);
  return file?.isDirectory === true ? undefined : file;
}

const BAD_HANDLE: VfsResponse = { errno: ERRNO.EBADF };

/** read, to an address that the caller owns; the errno as a negative number. */
export function readInto(
  context: DirectoryContext,
  { handle, offset }: VfsRequestOf<"read">,
  address: number,
  bytes: number,
): number {
  const file = fileOf(context, handle);
  return file === undefined ? -ERRNO.EBADF : readFrom(file.fd, address, bytes, offset);
}

/** read. */
export function readFile(context: DirectoryContext, request: VfsRequestOf<"read">): VfsResponse {
  const data = new Uint8Array(Math.min(request.size, MAX_IO_BYTES));
  if (data.length === 0) return { errno: 0 };
  const count = readInto(context, request, Number(ptr(data)), data.length);
  return count < 0 ? outcome(count) : { errno: 0, data: data.subarray(0, count) };
}

/** write: all bytes, or as many as the file system has space for. */
export function writeFile(
  context: DirectoryContext,
  { handle, offset, data, flags = 0 }: VfsRequestOf<"write">,
): VfsResponse {
  const file = fileOf(context, handle);
  if (file === undefined || !file.isWritable) return BAD_HANDLE;
  let written = 0;
  while (written < data.length) {
    const rest = data.subarray(written);
    const appends = (flags & WRITE_APPENDS) !== 0;
    const count = appends
      ? appendTo(file.fd, rest, offset + written)
      : writeTo(file.fd, rest, offset + written);
    if (count < 0 && written === 0) return outcome(count);
    if (count <= 0) break;
    written += count;
  }
  return { errno: 0, written };
}

/** release. */
export function releaseFile({ handles }: DirectoryContext, handle: number): VfsResponse {
  return outcome(handles.release(handle));
}

/** flush: nothing is buffered here, so that only the handle is checked. */
export function flushFile({ handles }: DirectoryContext, handle: number): VfsResponse {
  return handles.get(handle) === undefined ? BAD_HANDLE : { errno: 0 };
}

/** fsync, on another thread: a disk may need seconds. */
export function syncFile(
  { handles }: DirectoryContext,
  { handle, flags }: VfsRequestOf<"fsync">,
): VfsResponse | Promise<VfsResponse> {
  const file = handles.get(handle);
  if (file === undefined) return BAD_HANDLE;
  const sync = (flags & 1) === 0 ? fsync : fdatasync;
  return new Promise((resolve) => {
    sync(file.fd, (error) => {
      resolve({ errno: error === null ? 0 : Math.abs(error.errno ?? ERRNO.EIO) });
    });
  });
}

/** fallocate. */
export function allocateSpace(
  context: DirectoryContext,
  { handle, offset, length, flags }: VfsRequestOf<"fallocate">,
): VfsResponse {
  const file = fileOf(context, handle);
  if (file === undefined || !file.isWritable) return BAD_HANDLE;
  if ((flags & ~FALLOCATE_MODES) !== 0) return { errno: ERRNO.EOPNOTSUPP };
  return outcome(allocate(file.fd, flags, offset, length));
}

/** seek to data or to a hole. */
export function seekFile(
  context: DirectoryContext,
  { handle, offset, whence }: VfsRequestOf<"seek">,
): VfsResponse {
  const file = fileOf(context, handle);
  if (file === undefined) return BAD_HANDLE;
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return { errno: ERRNO.EINVAL };
  const found = seekTo(file.fd, offset, whence);
  return found < 0 ? outcome(found) : { errno: 0, offset: found };
}

/** copyRange. */
export function copyBetween(
  context: DirectoryContext,
  { handle, offset, toHandle, toOffset, length }: VfsRequestOf<"copyRange">,
): VfsResponse {
  const from = fileOf(context, handle);
  const to = fileOf(context, toHandle);
  if (from === undefined || to === undefined || !to.isWritable) return BAD_HANDLE;
  const copied = copyRange(
    { fd: from.fd, offset },
    { fd: to.fd, offset: toOffset },
    Math.min(length, MAX_COPY_BYTES),
  );
  return copied < 0 ? outcome(copied) : { errno: 0, written: copied };
}
