/** Operations that make, move and remove names below the root. */
import { ERRNO } from "../../ffi/errno.ts";
import { factsAt, type InodeFacts } from "../../ffi/file-facts.ts";
import {
  changeMode,
  changeOwnerOf,
  linkIn,
  makeDirectoryIn,
  makeLinkIn,
  makeNodeIn,
  type NameIn,
  readLinkIn,
  removeIn,
  renameIn,
} from "../../ffi/file-calls.ts";
import { O_PATH } from "../../ffi/directory-calls.ts";
import { openIn } from "../../ffi/file-calls.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { dataAnswer, type DirectoryContext, factsAnswer, outcome } from "./directory-context.ts";
import { UNCHANGED } from "./owner-map.ts";

const S_IFMT = 0o170_000;
const S_IFREG = 0o100_000;
const S_IFIFO = 0o010_000;
const S_IFSOCK = 0o140_000;
const S_IFLNK = 0o120_000;
const PERMISSIONS = 0o7777;
const SET_GROUP_ID = 0o2000;

/** RENAME_NOREPLACE and RENAME_EXCHANGE, linux/fs.h. */
const RENAME_FLAGS = 3;

/** Who makes something, and with which mode. */
interface NewFile {
  mode?: number;
  uid?: number | undefined;
  gid?: number | undefined;
}

/**
 * Gives a new file the owner and the mode that its guest asked for, which the umask and a default access
 * control list may have changed. Without the right to change owners it stays this process's.
 */
export function adjustNew(
  { policy }: DirectoryContext,
  fd: number,
  facts: InodeFacts,
  { mode, uid, gid }: NewFile,
): number {
  const owner = policy.owners.ofNew(uid, gid);
  const isOther =
    (owner.uid !== UNCHANGED && owner.uid !== facts.uid) ||
    (owner.gid !== UNCHANGED && owner.gid !== facts.gid);
  const keepsGroup = (facts.mode & SET_GROUP_ID) !== 0;
  if (isOther) {
    const result = changeOwnerOf(fd, owner.uid, keepsGroup ? UNCHANGED : owner.gid);
    if (result < 0 && result !== -ERRNO.EPERM) return result;
  }
  if (mode === undefined || (facts.mode & S_IFMT) === S_IFLNK) return 0;
  const wanted = (mode & PERMISSIONS) | (facts.mode & SET_GROUP_ID);
  const isRight = (facts.mode & PERMISSIONS) === wanted && !isOther;
  return isRight ? 0 : changeMode(fd, wanted);
}

/** Adjusts what was made at a place and answers with its facts. */
function made(
  context: DirectoryContext,
  place: NameIn,
  result: number,
  wanted: NewFile,
): InodeFacts | number {
  if (result < 0) return result;
  const fd = openIn(place, O_PATH, 0);
  if (fd < 0) return fd;
  try {
    const facts = factsAt(place.directory, place.name);
    if (typeof facts === "number") return facts;
    const adjusted = adjustNew(context, fd, facts, wanted);
    return adjusted < 0 ? adjusted : factsAt(place.directory, place.name);
  } finally {
    closeDescriptor(fd);
  }
}

/** Makes something at a path. */
function make(
  context: DirectoryContext,
  path: Uint8Array,
  wanted: NewFile,
  call: (place: NameIn) => number,
): VfsResponse {
  const facts = context.root.withPlace(path, (place) => made(context, place, call(place), wanted));
  // The root exists, and a hidden name cannot be made.
  return factsAnswer(context, facts === -ERRNO.EBUSY ? -ERRNO.EEXIST : facts);
}

/** Whether a path leads through a hidden name: those can neither be read nor made. */
function isHidden({ policy }: DirectoryContext, path: Uint8Array): boolean {
  return policy.hidden.hidesPath(path);
}

const NOT_ALLOWED: VfsResponse = { errno: ERRNO.EACCES };

/** mkdir. */
export function makeDirectory(
  context: DirectoryContext,
  request: VfsRequestOf<"mkdir">,
): VfsResponse {
  if (isHidden(context, request.path)) return NOT_ALLOWED;
  return make(context, request.path, request, (place) =>
    makeDirectoryIn(place, request.mode & PERMISSIONS),
  );
}

/** mknod: files, FIFOs and sockets; devices of the host are none of the guest's. */
export function makeNode(context: DirectoryContext, request: VfsRequestOf<"mknod">): VfsResponse {
  const type = request.mode & S_IFMT;
  if (![0, S_IFREG, S_IFIFO, S_IFSOCK].includes(type)) return { errno: ERRNO.EPERM };
  if (isHidden(context, request.path)) return NOT_ALLOWED;
  return make(context, request.path, request, (place) => makeNodeIn(place, request.mode, 0));
}

/** symlink. The text is the guest's matter: nothing here follows it. */
export function makeSymlink(
  context: DirectoryContext,
  request: VfsRequestOf<"symlink">,
): VfsResponse {
  if (isHidden(context, request.newPath)) return NOT_ALLOWED;
  const { uid, gid } = request;
  return make(context, request.newPath, { uid, gid }, (place) => makeLinkIn(request.target, place));
}

/** readlink. */
export function readSymlink({ root }: DirectoryContext, path: Uint8Array): VfsResponse {
  const text = root.withPlace(path, readLinkIn);
  // The root is not a link.
  return dataAnswer(text === -ERRNO.EBUSY ? -ERRNO.EINVAL : text);
}

/** link: another name of a file, or of a symbolic link itself. */
export function makeHardLink(
  context: DirectoryContext,
  { path, newPath }: VfsRequestOf<"link">,
): VfsResponse {
  if (isHidden(context, newPath)) return NOT_ALLOWED;
  const { root } = context;
  const facts = root.withPlace(path, (from) =>
    root.withPlace(newPath, (to) => {
      const result = linkIn(from, to);
      return result < 0 ? result : factsAt(to.directory, to.name);
    }),
  );
  return factsAnswer(context, facts);
}

/** rename. */
export function renameFile(
  context: DirectoryContext,
  { path, newPath, flags }: VfsRequestOf<"rename">,
): VfsResponse {
  if ((flags & ~RENAME_FLAGS) !== 0) return { errno: ERRNO.EINVAL };
  if (isHidden(context, newPath)) return NOT_ALLOWED;
  const { root } = context;
  return outcome(
    root.withPlace(path, (from) => root.withPlace(newPath, (to) => renameIn(from, to, flags))),
  );
}

/** unlink and rmdir. */
export function removeName(
  { root }: DirectoryContext,
  path: Uint8Array,
  isDirectory: boolean,
): VfsResponse {
  return outcome(root.withPlace(path, (place) => removeIn(place, isDirectory)));
}
