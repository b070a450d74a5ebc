/** Facts and attributes of files below the root, by path or by handle. */
import { ERRNO } from "../../ffi/errno.ts";
import { factsOf } from "../../ffi/file-facts.ts";
import {
  changeMode,
  changeOwnerOf,
  changeSize,
  changeSizeOfOpen,
  changeTimes,
  fileSystemOf,
} from "../../ffi/file-calls.ts";
import { PERMISSION_BITS } from "../../protocols/vfs/file-numbers.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { type DirectoryContext, factsAnswer, outcome } from "./directory-context.ts";
import { UNCHANGED } from "./owner-map.ts";

/** Sets the size of a file: by a handle that may write, whatever its mode is now; by a path as its mode allows. */
function setSize(
  { handles }: DirectoryContext,
  fd: number,
  handle: number | undefined,
  bytes: number,
): number {
  const isWritable = handle !== undefined && handles.get(handle)?.isWritable === true;
  return isWritable ? changeSizeOfOpen(fd, bytes) : changeSize(fd, bytes);
}

/** Calls `use` with the file of a handle, or of a path without one. */
function withNamed<Result>(
  { root, handles }: DirectoryContext,
  { path, handle }: { path: Uint8Array; handle?: number | undefined },
  use: (fd: number) => Result,
): Result | number {
  if (handle === undefined) return root.withFile(path, use);
  const file = handles.get(handle);
  return file === undefined ? -ERRNO.EBADF : use(file.fd);
}

/** lookup and getattr. */
export function attributesOf(
  context: DirectoryContext,
  request: { path: Uint8Array; handle?: number | undefined },
): VfsResponse {
  return factsAnswer(context, withNamed(context, request, factsOf));
}

/** setAttributes. */
export function changeAttributes(
  context: DirectoryContext,
  request: VfsRequestOf<"setAttributes">,
): VfsResponse {
  const facts = withNamed(context, request, (fd) => {
    const failure = change(context, fd, request);
    return failure < 0 ? failure : factsOf(fd);
  });
  return factsAnswer(context, facts);
}

/** The size first: it may clear set-ID bits, and changes a time. The mode after the owner, which clears them. */
function change(
  context: DirectoryContext,
  fd: number,
  { handle, mode, uid, gid, size, atime, mtime }: VfsRequestOf<"setAttributes">,
): number {
  const { policy } = context;
  const owner = policy.owners.toHost(uid, gid);
  const isOwned = owner.uid !== UNCHANGED || owner.gid !== UNCHANGED;
  const steps = [
    () => (size === undefined ? 0 : setSize(context, fd, handle, size)),
    () =>
      isOwned && policy.owners.squash === undefined ? changeOwnerOf(fd, owner.uid, owner.gid) : 0,
    () => (mode === undefined ? 0 : changeMode(fd, mode & PERMISSION_BITS)),
    () => (atime === undefined && mtime === undefined ? 0 : changeTimes(fd, atime, mtime)),
  ];
  for (const step of steps) {
    const result = step();
    if (result < 0) return result;
  }
  return 0;
}

/** statfs, of the root's file system. */
export function getFileSystem({ root }: DirectoryContext): VfsResponse {
  // fstatfs(2) works on O_PATH descriptors since Linux 3.12.
  const fileSystem = fileSystemOf(root.fd);
  return typeof fileSystem === "number" ? outcome(fileSystem) : { errno: 0, fileSystem };
}
