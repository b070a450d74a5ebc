/** The directories of an archive: each before its entries, and each entry once. */
import { dirname } from "node:path";
import { VsockboxError } from "../errors.ts";
import type { CpioEntry } from "./cpio.ts";

/** Options of {@link withDirectories}. */
export interface DirectoryOptions {
  /** Directories that exist although nothing is packed into them. */
  directories?: readonly string[];
  /**
   * For an archive that is unpacked over another one, in which `/lib` may be a link to a directory. The
   * kernel replaces a link by a directory of that name; with a slash after the name it follows the link
   * instead, and still makes the directory if there is none.
   */
  keepsLinks?: boolean;
}

/**
 * Returns the entries with all their directories before them. Of two entries with one path the first counts.
 *
 * @throws {VsockboxError} CONFIG if an entry is below one that is not a directory.
 */
export function withDirectories(
  entries: readonly CpioEntry[],
  { directories = [], keepsLinks = false }: DirectoryOptions = {},
): CpioEntry[] {
  const made = new Map<string, CpioEntry["kind"]>();
  const result: CpioEntry[] = [];
  const makeDirectory = (directory: string) => {
    if (directory === "." || directory === "/") return;
    const kind = made.get(directory);
    if (kind === "directory") return;
    if (kind !== undefined) throw noDirectory(directory, kind);
    makeDirectory(dirname(directory));
    made.set(directory, "directory");
    const mode = directory === "tmp" ? 0o1777 : 0o755;
    result.push({ kind: "directory", path: keepsLinks ? `${directory}/` : directory, mode });
  };
  for (const directory of directories) makeDirectory(directory);
  for (const entry of entries) {
    if (made.has(entry.path)) continue;
    makeDirectory(dirname(entry.path));
    result.push(entry);
    made.set(entry.path, entry.kind);
  }
  return result;
}

function noDirectory(path: string, kind: string): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "pack",
    address: `/${path}`,
    message: `it is both a ${kind === "symlink" ? "link" : "file"} and a directory of the image`,
  });
}
