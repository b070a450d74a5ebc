/** The files of glibc as they are in an executable: packing changes the loader. */
import type { Runtime } from "../self-contained/libraries.ts";
import { type NamedFile, withoutPreloadFile } from "../self-contained/pack.ts";
import { sha256 } from "../build/inputs.ts";

/** The change of a modified file, which the LGPL requires to be stated. */
export const CHANGE = "the path /etc/ld.so.preload is made empty, so that it is not read";

/** A file in an executable. */
export interface PackedFile {
  name: string;
  bytes: number;
  /** Of the bytes in the executable, in hexadecimal. */
  sha256: string;
  /** Of the original file, if that differs. */
  originalSha256?: string;
}

/** The loader, then the libraries, as they lie in the executable. */
export function packedFiles({ loader, libraries }: Runtime): PackedFile[] {
  return [
    describe(withoutPreloadFile(loader), loader),
    ...libraries.map((library) => describe(library, library)),
  ];
}

function describe({ name, bytes }: NamedFile, original: NamedFile): PackedFile {
  const [sum, originalSum] = [sha256(bytes), sha256(original.bytes)];
  return {
    name,
    bytes: bytes.length,
    sha256: sum,
    ...(sum === originalSum ? {} : { originalSha256: originalSum }),
  };
}
