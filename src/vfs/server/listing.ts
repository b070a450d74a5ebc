/**
 * readdir and readdirPlus: pages of an open directory. Offsets are those of the kernel (d_off), so that
 * nothing is kept for a listing but the place where the last page ended.
 */
import { ERRNO } from "../../ffi/errno.ts";
import { factsAt } from "../../ffi/file-facts.ts";
import { readDirents, seekTo } from "../../ffi/file-calls.ts";
import { EntryPacker } from "../../protocols/vfs/entries.ts";
import { MAX_IO_BYTES } from "../../protocols/vfs/operations.ts";
import { STAT_BYTES } from "../../protocols/vfs/file-stat.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { type DirectoryContext, outcome } from "./directory-context.ts";
import type { ExportedFile } from "./export-handles.ts";

/** struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name. The shortest has 24 bytes. */
const DIRENT_NAME = 19;
const SHORTEST_DIRENT_BYTES = 24;
/** The longest, with a name of 255 bytes, must fit; getdents64(2) fails with EINVAL otherwise. */
const MIN_DIRENTS_BYTES = 280;
const MAX_DIRENTS_BYTES = 64 * 1024;

const SEEK_SET = 0;
const DOT = 0x2e;

const buffer = new Uint8Array(new ArrayBuffer(MAX_DIRENTS_BYTES));
const view = new DataView(buffer.buffer);

/** An entry without its facts. */
interface Dirent {
  name: Uint8Array;
  type: number;
  ino: bigint;
  offset: bigint;
}

/** The entries in the buffer, without `.` and `..`; names are views of it. */
function* direntsIn(bytes: number): Generator<Dirent> {
  for (let at = 0; at < bytes;) {
    const nameAt = at + DIRENT_NAME;
    const name = buffer.subarray(nameAt, buffer.indexOf(0, nameAt));
    const isDots = name.length <= 2 && name.every((byte) => byte === DOT);
    const offset = view.getBigUint64(at + 8, true);
    if (!isDots) {
      yield { name, type: view.getUint8(at + 18), ino: view.getBigUint64(at, true), offset };
    }
    at += view.getUint16(at + 16, true);
  }
}

/**
 * How many bytes of entries are read for a page, so that each of them fits into it packed: an entry
 * without facts is never longer than the kernel's.
 */
export function direntsBytes(pageBytes: number, hasFacts: boolean): number {
  const growth = hasFacts ? (STAT_BYTES + SHORTEST_DIRENT_BYTES) / SHORTEST_DIRENT_BYTES : 1;
  return Math.min(MAX_DIRENTS_BYTES, Math.floor(pageBytes / growth));
}

/** One page of a directory. */
export function listExported(
  context: DirectoryContext,
  request: VfsRequestOf<"readdir"> | VfsRequestOf<"readdirPlus">,
): VfsResponse {
  const directory = context.handles.get(request.handle);
  if (directory === undefined) return { errno: ERRNO.EBADF };
  if (!directory.isDirectory) return { errno: ERRNO.ENOTDIR };
  const hasFacts = request.op === "readdirPlus";
  const pageBytes = Math.min(request.size, MAX_IO_BYTES);
  const bytes = direntsBytes(pageBytes, hasFacts);
  if (bytes < MIN_DIRENTS_BYTES) return { errno: ERRNO.EINVAL };
  const moved = moveTo(directory, request.offset);
  if (moved < 0) return outcome(moved);
  const packer = new EntryPacker(pageBytes);
  // A page of hidden names alone would look like the end.
  while (packer.packed.length === 0) {
    const count = readDirents(directory.fd, buffer.subarray(0, bytes));
    if (count < 0) return outcome(count);
    if (count === 0) break;
    pack(context, directory, packer, { count, hasFacts });
  }
  return { errno: 0, data: packer.packed };
}

/** Moves an open directory to an offset; 0 begins anew, with what is in it now. */
function moveTo(directory: ExportedFile, offset: bigint): number {
  if (offset !== 0n && offset === directory.position) return 0;
  const result = seekTo(directory.fd, BigInt.asIntN(64, offset), SEEK_SET);
  if (result >= 0) directory.position = offset;
  return result;
}

function pack(
  { policy: { hidden, owners } }: DirectoryContext,
  directory: ExportedFile,
  packer: EntryPacker,
  { count, hasFacts }: { count: number; hasFacts: boolean },
): void {
  let position = directory.position;
  for (const { name, type, ino, offset } of direntsIn(count)) {
    position = offset;
    if (hidden.hides(name)) continue;
    const facts = hasFacts ? factsAt(directory.fd, name) : undefined;
    const stat = typeof facts === "object" ? owners.toGuest(facts) : undefined;
    packer.add({ name, type, ino, offset, stat });
  }
  directory.position = position;
}
