/** SHA256SUMS, for `sha256sum -c`. */
import { renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

/** Name of the file in the release's directory. */
export const CHECKSUMS = "SHA256SUMS";

/** A file of the release and its hash in hexadecimal. */
export interface Summed {
  path: string;
  sha256: string;
}

/** The lines, sorted by name: hash, two spaces, name. */
export function checksumLines(files: readonly Summed[]): string {
  return files
    .map(({ path, sha256 }) => ({ name: basename(path), sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, sha256 }) => `${sha256}  ${name}\n`)
    .join("");
}

/** Writes a text into a directory atomically. */
export function writeWhole(directory: string, name: string, text: string): string {
  const [path, temporary] = [join(directory, name), join(directory, `.${name}.${process.pid}`)];
  writeFileSync(temporary, text);
  renameSync(temporary, path);
  return path;
}
