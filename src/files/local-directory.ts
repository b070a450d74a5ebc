/** Directories of this machine that a command line names. */
import { statSync } from "node:fs";
import { type Reason, reasonOf, VsockboxError } from "../errors.ts";
import { descriptionOfName } from "../system-errors.ts";
import { bytesPath, showPath } from "./bytes-path.ts";

/**
 * Returns the error for a directory that cannot be used: the same for all commands, whatever they need it for.
 *
 * @param path as the user wrote it.
 */
export function directoryError(
  path: string | Uint8Array,
  { errno, message }: Reason,
  { hint, cause }: { hint?: string | undefined; cause?: unknown } = {},
): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "open directory",
    address: showPath(bytesPath(path)),
    message: (errno === undefined ? undefined : descriptionOfName(errno)) ?? message,
    ...{ errno, hint, cause },
  });
}

/**
 * Checks that a path, links followed, is a directory.
 *
 * @throws {VsockboxError} IO, as {@link directoryError}.
 */
export function assertDirectory(path: string | Uint8Array): void {
  let isDirectory;
  try {
    isDirectory = statSync(bytesPath(path)).isDirectory();
  } catch (thrown) {
    throw directoryError(path, reasonOf(thrown), { cause: thrown });
  }
  if (!isDirectory) throw directoryError(path, NOT_A_DIRECTORY);
}

/** The reason for a path that is something else. */
export const NOT_A_DIRECTORY: Reason = { errno: "ENOTDIR", message: "not a directory" };
