/**
 * open and create. A file is opened twice: by O_PATH, which has no effect on it, and if it is a regular
 * file or a directory once more through that descriptor. FIFOs, sockets and devices of the tree are never
 * opened: they could block this process, or do something.
 */
import { constants } from "node:fs";
import { ERRNO } from "../../ffi/errno.ts";
import type { FileStat } from "../../file-stat.ts";
import { factsOf } from "../../ffi/file-facts.ts";
import { openIn, reopen } from "../../ffi/file-calls.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { PERMISSION_BITS } from "../../protocols/vfs/file-numbers.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { type DirectoryContext, factsAnswer, outcome } from "./directory-context.ts";
import { adjustNew } from "./names.ts";
import { type OpenRequest, readOpenFlags } from "./open-flags.ts";

const { O_CREAT, O_EXCL, O_TRUNC, O_NONBLOCK, O_DIRECTORY, S_IFMT, S_IFREG, S_IFDIR, S_IFLNK } =
  constants;

/** A file that another process removes and makes again and again. */
const MAX_ATTEMPTS = 8;

/** Owns an open file and answers with its handle. */
function opened(
  context: DirectoryContext,
  fd: number,
  facts: FileStat,
  isWritable: boolean,
): VfsResponse {
  const isDirectory = (facts.mode & S_IFMT) === S_IFDIR;
  const handle = context.handles.add({ fd, isDirectory, isWritable, position: 0n });
  return { ...factsAnswer(context, facts), handle };
}

/** The errno of a file that cannot be opened with these flags; 0 if it can. */
function refusal(type: number, { isDirectory, isWritable }: OpenRequest): number {
  if (type === S_IFDIR) return isWritable ? ERRNO.EISDIR : 0;
  if (isDirectory) return ERRNO.ENOTDIR;
  if (type === S_IFLNK) return ERRNO.ELOOP;
  // As open(2) of a socket; FIFOs and devices are the guest kernel's own.
  return type === S_IFREG ? 0 : ERRNO.ENXIO;
}

function openExisting(
  context: DirectoryContext,
  path: Uint8Array,
  request: OpenRequest,
): VfsResponse {
  const answer = context.root.withFile(path, (found) => {
    const facts = factsOf(found);
    if (typeof facts === "number") return facts;
    const errno = refusal(facts.mode & S_IFMT, request);
    if (errno !== 0) return -errno;
    const isDirectory = (facts.mode & S_IFMT) === S_IFDIR;
    const more = (request.truncates ? O_TRUNC : 0) | (isDirectory ? O_DIRECTORY : 0);
    const fd = reopen(found, request.access | O_NONBLOCK | more);
    if (fd < 0) return fd;
    const current = request.truncates ? factsOf(fd) : facts;
    if (typeof current !== "number") return opened(context, fd, current, request.isWritable);
    closeDescriptor(fd);
    return current;
  });
  return typeof answer === "number" ? outcome(answer) : answer;
}

function checked(
  { policy, handles }: DirectoryContext,
  flags: number,
): OpenRequest | { errno: number } {
  const request = readOpenFlags(flags);
  if (request === undefined) return { errno: ERRNO.EINVAL };
  if (policy.isReadOnly && request.isWritable) return { errno: ERRNO.EROFS };
  return handles.hasCapacity ? request : { errno: ERRNO.EMFILE };
}

/** open. */
export function openFile(
  context: DirectoryContext,
  { path, flags }: VfsRequestOf<"open">,
): VfsResponse {
  const request = checked(context, flags);
  return "errno" in request ? request : openExisting(context, path, request);
}

/** Makes a file that does not exist; the handle's answer, or an errno as a negative number. */
function createNew(
  context: DirectoryContext,
  wanted: VfsRequestOf<"create">,
  { access, isWritable }: OpenRequest,
): VfsResponse | number {
  return context.root.withPlace(wanted.path, (place) => {
    const fd = openIn(place, access | O_CREAT | O_EXCL | O_NONBLOCK, wanted.mode & PERMISSION_BITS);
    if (fd < 0) return fd;
    const current = adjustNew(context, fd, place.directory, wanted);
    if (typeof current !== "number") return opened(context, fd, current, isWritable);
    closeDescriptor(fd);
    return current;
  });
}

/** create: a new file, or without O_EXCL one that exists. */
export function createFile(context: DirectoryContext, wanted: VfsRequestOf<"create">): VfsResponse {
  const request = checked(context, wanted.flags);
  if ("errno" in request) return request;
  if (context.policy.hidden.hidesPath(wanted.path)) return { errno: ERRNO.EACCES };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const answer = createNew(context, wanted, request);
    if (typeof answer !== "number") return answer;
    if (answer === -ERRNO.EBUSY) return { errno: ERRNO.EISDIR };
    if (answer !== -ERRNO.EEXIST || request.isExclusive) return outcome(answer);
    const existing = openExisting(context, wanted.path, request);
    if (existing.errno !== ERRNO.ENOENT) return existing;
  }
  return { errno: ERRNO.EAGAIN };
}
