/** Ready-made files of a program: a tree in memory, a directory, and one tree over another. */
import { DirectoryFiles } from "../vfs/server/directory-files.ts";
import { MemoryFiles, type MemoryLimits } from "../vfs/server/memory-files.ts";
import { OverlayFiles, type WritableFiles } from "../vfs/server/overlay-files.ts";
import type { FilesProvider } from "../vfs/server/provided-files.ts";

/** Options of {@link memoryFiles}: limits, above which guests get ENOSPC. */
export type MemoryFilesOptions = MemoryLimits;

/**
 * Returns a tree of files in memory, for `exportFiles` or {@link overlayFiles}.
 *
 * @param files the first files by their paths, such as `etc/hosts`; their directories are made.
 */
export function memoryFiles(
  files: Readonly<Record<string, string | Uint8Array>> = {},
  options: MemoryFilesOptions = {},
): WritableFiles {
  return new MemoryFiles(files, options);
}

/** The trees of {@link overlayFiles}. */
export interface OverlayOptions {
  /** A directory of the host, or files of a program. It is never changed. */
  lower: string | FilesProvider;
  /** Where changes go: a directory of the host, or files of a program (default: memory). */
  upper?: string | WritableFiles | undefined;
}

/**
 * Returns a tree over another one, for `exportFiles`: guests change the lower one, and see their changes,
 * which are in the upper one alone.
 *
 * @throws {VsockboxError} if a directory cannot be opened.
 */
export function overlayFiles({ lower, upper = memoryFiles() }: OverlayOptions): FilesProvider {
  return new OverlayFiles(
    typeof lower === "string" ? new DirectoryFiles(lower) : lower,
    typeof upper === "string" ? new DirectoryFiles(upper) : upper,
  );
}
