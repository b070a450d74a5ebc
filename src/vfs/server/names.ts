/** Operations that make, move and remove names below the root. */
import { ERRNO } from "../../ffi/errno.ts";
import type { FileStat } from "../../file-stat.ts";
import { factsAt, factsOf } from "../../ffi/file-facts.ts";
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
import {
  FileType,
  PERMISSION_BITS,
  RENAME_FLAGS,
  SpecialBit,
  typeOfMode,
} from "../../protocols/vfs/file-numbers.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { dataAnswer, type DirectoryContext, factsAnswer, outcome } from "./directory-context.ts";
import { UNCHANGED } from "./owner-map.ts";

/** Types of what guests make; without one it is a regular file. */
const MADE_TYPES: ReadonlySet<number> = new Set([
  0,
  FileType.Regular,
  FileType.Fifo,
  FileType.Socket,
]);

/** Who makes something, and with which mode. */
interface NewFile {
  mode?: number;
  uid?: number | undefined;
  gid?: number | undefined;
}

/** Whether what is made in a directory belongs to the directory's group, whoever makes it. */
function inheritsGroup(directory: number): boolean {
  const facts = factsOf(directory);
  return typeof facts === "object" && (facts.mode & SpecialBit.SetGroupId) !== 0;
}

/**
 * Gives a new file the owner and the mode that its guest asked for, which the umask and a default access
 * control list may have changed. Without the right to change owners it stays this process's.
 *
 * @param directory that it was made in.
 * @returns its facts as they are then, or the errno as a negative number.
 */
export function adjustNew(
  { policy }: DirectoryContext,
  fd: number,
  directory: number,
  { mode, uid, gid }: NewFile,
): FileStat | number {
  const facts = factsOf(fd);
  if (typeof facts === "number") return facts;
  const owner = policy.owners.ofNew(uid, gid);
  const isOtherGroup =
    owner.gid !== UNCHANGED && owner.gid !== facts.gid && !inheritsGroup(directory);
  const isOther = isOtherGroup || (owner.uid !== UNCHANGED && owner.uid !== facts.uid);
  if (isOther) {
    const result = changeOwnerOf(fd, owner.uid, isOtherGroup ? owner.gid : UNCHANGED);
    if (result < 0 && result !== -ERRNO.EPERM) return result;
  }
  const isLink = typeOfMode(facts.mode) === FileType.Link;
  const wanted = ((mode ?? facts.mode) & PERMISSION_BITS) | (facts.mode & SpecialBit.SetGroupId);
  // Changing the owner may have cleared set-ID bits.
  const isOtherMode = !isLink && (isOther || (facts.mode & PERMISSION_BITS) !== wanted);
  const result = isOtherMode ? changeMode(fd, wanted) : 0;
  if (result < 0) return result;
  return isOther || isOtherMode ? factsOf(fd) : facts;
}

/** Adjusts what was made at a place and answers with its facts. */
function made(
  context: DirectoryContext,
  place: NameIn,
  result: number,
  wanted: NewFile,
): FileStat | number {
  if (result < 0) return result;
  const fd = openIn(place, O_PATH, 0);
  if (fd < 0) return fd;
  try {
    return adjustNew(context, fd, place.directory, wanted);
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
    makeDirectoryIn(place, request.mode & PERMISSION_BITS),
  );
}

/** mknod: files, FIFOs and sockets; devices of the host are none of the guest's. */
export function makeNode(context: DirectoryContext, request: VfsRequestOf<"mknod">): VfsResponse {
  const type = typeOfMode(request.mode);
  if (!MADE_TYPES.has(type)) return { errno: ERRNO.EPERM };
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
