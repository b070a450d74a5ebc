/** Files that a command line names for results. Their directories must exist: a typing error makes none. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { type FileContent, writeFileAtomically } from "../../files/atomic-write.ts";
import type { Operation } from "../../operations.ts";

/**
 * Checks, before the work for it begins, that the directory of a file exists.
 *
 * @param operation what will be done with the file, for the error.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function checkOutputFile(path: string, operation: Operation = "write"): void {
  try {
    // With the slash it must be a directory.
    statSync(`${dirname(path)}/`);
  } catch (thrown) {
    throw failed(operation, path, thrown);
  }
}

/**
 * Makes or replaces a file, as `writeFileAtomically` does.
 *
 * @throws {VsockboxError} CANNOT_CREATE; what `content` throws.
 */
export async function writeOutputFile(
  path: string,
  content: FileContent,
  mode: number,
): Promise<void> {
  checkOutputFile(path);
  try {
    await writeFileAtomically(path, content, mode);
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    // Errors of reading name the file that was read.
    const named: unknown = thrown instanceof Error ? Reflect.get(thrown, "path") : undefined;
    throw failed("write", typeof named === "string" ? named : path, thrown);
  }
}

function failed(operation: Operation, path: string, thrown: unknown): VsockboxError {
  const { errno, message } = reasonOf(thrown);
  return new VsockboxError({
    ...{ code: "CANNOT_CREATE", operation, address: path },
    ...{ message, errno, cause: thrown },
  });
}
