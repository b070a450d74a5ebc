/** Writing a whole file so that nothing partial ever stands under its name. */
import { closeSync, constants, fchmodSync, fsync, write } from "node:fs";
import { type FileHandle, open, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { reasonOf, VsockboxError } from "../errors.ts";
import { O_PATH, statDescriptor } from "../ffi/directory-calls.ts";
import { filesystemMagic, PROC_SUPER_MAGIC, SYSFS_MAGIC } from "../ffi/mount.ts";
import {
  baseName,
  type BytesPath,
  bytesPath,
  descriptorPath,
  parentOf,
  showPath,
} from "./bytes-path.ts";
import { DirectoryHandle } from "./directory-handle.ts";
import { fileKind } from "./facts.ts";
import { changeOwner, replacedMode } from "./file-owner.ts";
import { mayWriteInPlace } from "./link-policy.ts";
import { PendingFile } from "./pending-file.ts";
import { openEntry, openResolved, type ResolvedPath, resolvePath } from "./resolve-path.ts";

const writeAsync = promisify(write);
const syncAsync = promisify(fsync);

/** Content as a whole, or in pieces that are made as they are written. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/** Mode of directories that are made for a file. */
const PARENT_MODE = 0o755;

/** Options of {@link writeFileAtomically}. */
export interface AtomicWriteOptions {
  /** Makes missing directories above the file, with mode 0755 (default: that is an error). */
  makesParents?: boolean;
}

/**
 * Replaces or makes the file at `path`. The bytes go
 * to a file without a name in the same directory, which gets the name when they are all on the disk; if
 * that fails, the old file stands as it was.
 *
 * A symbolic link is followed, unless another user may have put it there. What exists and is not a
 * regular file (a device, a FIFO, a file of /proc or /sys) is written to as it is. An existing file
 * keeps its mode, without set-ID bits, and its owner.
 *
 * @param mode permission bits of a new file, whatever the umask.
 * @throws {VsockboxError} REFUSED for a link or FIFO of another user; errors with the errno's name in
 * `code`.
 */
export async function writeFileAtomically(
  path: string,
  content: FileContent,
  mode: number,
  { makesParents = false }: AtomicWriteOptions = {},
): Promise<void> {
  const bytes = bytesPath(path);
  if (makesParents) openParent(parentOf(bytes)).close();
  using resolved = resolvePath(bytes, true);
  const { name, status } = resolved;
  const isRegular = status === undefined || fileKind(status) === "file";
  if (name === undefined || !isRegular || isMadeUp(resolved.directory)) {
    return writeInPlace(resolved, content, path);
  }
  const file = PendingFile.create(resolved.directory);
  try {
    await writeContent(file.fd, content);
    if (status !== undefined) changeOwner(file.fd, status, statDescriptor(file.fd));
    fchmodSync(file.fd, status === undefined ? mode : replacedMode(status));
    await syncAsync(file.fd);
    file.giveName(name, true);
  } catch (thrown) {
    file.discard();
    throw thrown;
  }
  file.close();
}

/** /proc and /sys report regular files, but nothing can be made beside them. */
function isMadeUp({ fd }: DirectoryHandle): boolean {
  const magic = filesystemMagic(`/proc/self/fd/${fd}`);
  return magic === PROC_SUPER_MAGIC || magic === SYSFS_MAGIC;
}

async function writeInPlace(
  resolved: ResolvedPath,
  content: FileContent,
  path: string,
): Promise<void> {
  const { directory, status } = resolved;
  const uid = process.geteuid?.() ?? 0;
  if (status !== undefined && !mayWriteInPlace(directory.status(), status, uid)) {
    throw new VsockboxError({
      code: "REFUSED",
      operation: "write",
      address: showPath(bytesPath(path)),
      message: `it is a ${fileKind(status)} of user ${status.uid} in a directory that all users may write to`,
      errno: "EACCES",
    });
  }
  const fd = openEntry(resolved, O_PATH);
  try {
    // By the runtime's thread pool, since opening a FIFO waits for its reader.
    const stable = descriptorPath(fd) ?? bytesPath(path);
    if (content instanceof Uint8Array) return await writeFile(stable, content);
    const file: FileHandle = await open(stable, "w");
    try {
      await writeContent(file.fd, content);
    } finally {
      await file.close();
    }
  } finally {
    closeSync(fd);
  }
}

async function writeContent(fd: number, content: FileContent): Promise<void> {
  const pieces = content instanceof Uint8Array ? [content] : content;
  for await (const piece of pieces) {
    for (let done = 0; done < piece.length;) {
      done += (await writeAsync(fd, piece, done, piece.length - done, null)).bytesWritten;
    }
  }
}

/** Opens a directory, made with its missing parents; the caller closes it. */
function openParent(path: BytesPath): DirectoryHandle {
  try {
    return DirectoryHandle.adopt(openResolved(path, O_PATH | constants.O_DIRECTORY));
  } catch (thrown) {
    const name = baseName(path);
    if (reasonOf(thrown).errno !== "ENOENT" || name.length === 0) throw thrown;
    using above = openParent(parentOf(path));
    above.makeDirectory(name, PARENT_MODE);
    const made = above.openDirectory(name);
    fchmodSync(made.fd, PARENT_MODE);
    return made;
  }
}
