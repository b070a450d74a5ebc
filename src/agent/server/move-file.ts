/**
 * Renames files, and moves them to another file system: there, a complete copy gets the new name before
 * the original is removed, so that a failure does not change the original. As with mv(1) of POSIX, modes,
 * owners, times and hard links within a tree are kept, and set-ID bits if the owner is.
 */
import { reasonOf, VsockboxError } from "../../errors.ts";
import type { InodeStatus } from "../../ffi/directory-calls.ts";
import { type BytesPath, showPath, withoutTrailingSlashes } from "../../files/bytes-path.ts";
import { TreeCopy } from "../../files/copy-tree.ts";
import { type DirectoryHandle, isMountPoint } from "../../files/directory-handle.ts";
import { fileKind } from "../../files/facts.ts";
import { temporaryName } from "../../files/pending-file.ts";
import { type ResolvedPath, resolvePath } from "../../files/resolve-path.ts";
import { removeEntryOrTree } from "./remove-file.ts";
import { FileFailures } from "../transfer/file-failures.ts";
import { fileError } from "../transfer/transfer.ts";

/** An entry of a directory. */
interface Place {
  directory: DirectoryHandle;
  name: Uint8Array;
  status: InodeStatus | undefined;
  path: BytesPath;
}

/**
 * Renames a file or directory.
 *
 * @param replace whether a file at the new path is replaced.
 * @throws {VsockboxError} CANNOT_CREATE if the new path exists and is not replaced; IO.
 */
export async function moveFile(
  path: BytesPath,
  to: BytesPath,
  replace: boolean,
  pause: () => Promise<void>,
): Promise<void> {
  using original = resolvePath(withoutTrailingSlashes(path), false);
  using target = resolvePath(withoutTrailingSlashes(to), false);
  const source = placeOf(original, path);
  const destination = placeOf(target, to);
  if (source.status === undefined) throw failure("ENOENT", "no such file or directory");
  const endsInSlash = path.at(-1) === SLASH || to.at(-1) === SLASH;
  if (endsInSlash && fileKind(source.status) !== "directory") {
    throw failure("ENOTDIR", "not a directory");
  }
  try {
    return renameTo(source, source.name, destination, replace);
  } catch (thrown) {
    const { errno } = reasonOf(thrown);
    if (errno === "EEXIST" && !replace) throw occupied(to);
    if (errno !== "EXDEV") throw thrown;
  }
  await moveAcross({ ...source, status: source.status }, destination, replace, pause);
}

const SLASH = 0x2f;

function placeOf({ directory, name, status }: ResolvedPath, path: BytesPath): Place {
  if (name === undefined) throw failure("EBUSY", "a directory is not renamed by that name");
  return { directory, name, status, path };
}

function renameTo(
  { directory }: Pick<Place, "directory">,
  name: Uint8Array,
  to: Place,
  replace: boolean,
): void {
  if (replace) directory.rename(name, to.directory, to.name);
  else directory.renameNew(name, to.directory, to.name);
}

async function moveAcross(
  source: Place & { status: InodeStatus },
  destination: Place,
  replace: boolean,
  pause: () => Promise<void>,
): Promise<void> {
  const problem = reasonNotToMove(
    source.status,
    source.directory.status(),
    destination.status,
    replace,
  );
  if (problem === "EEXIST") throw occupied(destination.path);
  if (problem !== undefined) throw failure(problem, REASONS[problem]);
  const name = temporaryName();
  const copy = { ...destination, name };
  try {
    await new TreeCopy(pause).copy(source, copy, source.status, source.path);
    renameTo(copy, name, destination, replace);
  } catch (thrown) {
    await removeEntryOrTree(copy, new FileFailures(), () => Promise.resolve());
    if (reasonOf(thrown).errno === "EEXIST" && !replace) throw occupied(destination.path);
    throw thrown;
  }
  const failures = new FileFailures();
  try {
    await removeEntryOrTree(source, failures, pause);
  } catch (thrown) {
    failures.note(fileError("remove", source.path, thrown));
  }
  const [first] = failures.errors;
  if (first === undefined) return;
  throw new VsockboxError({
    code: "IO",
    operation: "move",
    address: showPath(source.path),
    message: `it was copied, but the original is still there: ${first.message}`,
    errno: first.errno,
  });
}

/** errno of a move that is refused before a byte is copied. */
export type MoveProblem = "EBUSY" | "EEXIST" | "EISDIR" | "ENOTDIR";

const REASONS: Readonly<Record<MoveProblem, string>> = {
  EBUSY: "a file system is mounted there",
  EEXIST: "it exists",
  EISDIR: "a directory is not replaced by a file",
  ENOTDIR: "a file is not replaced by a directory",
};

/** Returns why a move to another file system is refused, by the rules of rename(2); undefined: it is not. */
export function reasonNotToMove(
  source: InodeStatus,
  parent: InodeStatus,
  existing: InodeStatus | undefined,
  replace: boolean,
): MoveProblem | undefined {
  if (isMountPoint({ status: source, parent })) return "EBUSY";
  if (existing === undefined) return undefined;
  if (!replace) return "EEXIST";
  const isDirectory = fileKind(source) === "directory";
  const replacesDirectory = fileKind(existing) === "directory";
  if (isDirectory === replacesDirectory) return undefined;
  return isDirectory ? "ENOTDIR" : "EISDIR";
}

function failure(errno: string, words: string): Error {
  return Object.assign(new Error(`${errno}: ${words}, rename`), { code: errno });
}

function occupied(path: BytesPath): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "rename",
    address: showPath(path),
    message: "it exists",
    errno: "EEXIST",
  });
}
