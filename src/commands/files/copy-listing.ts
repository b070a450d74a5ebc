/** The files of a copy as `cp --list` and `--dry-run` print them: each with its destination. */
import { joinPath, showPath } from "../../files/bytes-path.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import type { TreeRecord } from "../../protocols/agent/tree-records.ts";

/** A file or link, and where it goes; in a guest with the target before the path. */
export interface CopiedFile {
  source: Uint8Array;
  destination: Uint8Array;
}

/** Returns a file of a copy as a line. */
export function copiedLine({ source, destination }: CopiedFile): string {
  return `${showPath(source)} -> ${showPath(destination)}`;
}

/** Returns a file of a copy as the object of `--dry-run --json`. */
export function copiedJson({ source, destination }: CopiedFile): JsonObject {
  return { source: encodePath(source), destination: encodePath(destination) };
}

/** Returns a file below both ends of a copy; the ends themselves for the empty path. */
export function copiedBelow({ source, destination }: CopiedFile, path: Uint8Array): CopiedFile {
  if (path.length === 0) return { source, destination };
  return { source: joinPath(source, path), destination: joinPath(destination, path) };
}

/** Finds the files of a transfer in its records. */
export class CopyListing {
  readonly #ends: CopiedFile;
  readonly #onFile: (file: CopiedFile) => void;
  /** The directories that were entered, the root of the tree first. */
  readonly #names: Uint8Array[] = [];
  /** The file whose bytes are being sent. */
  #file: Uint8Array | undefined;

  /**
   * @param ends the source as a whole, and its destination.
   * @param onFile is called for each file and link that is complete.
   */
  constructor(ends: CopiedFile, onFile: (file: CopiedFile) => void) {
    this.#ends = ends;
    this.#onFile = onFile;
  }

  /** Reads the next record of the transfer. */
  push(record: TreeRecord): void {
    switch (record.kind) {
      case "directory":
        this.#names.push(record.name);
        return;
      case "leave":
        this.#names.pop();
        return;
      case "file":
        // One that is the same at the destination has no `end`.
        this.#file = record.name;
        return;
      case "link":
        return this.#report(record.name);
      case "end":
        if (this.#file !== undefined && record.error === undefined) this.#report(this.#file);
        this.#file = undefined;
        return;
      default:
        return;
    }
  }

  #report(name: Uint8Array): void {
    // The name at the top is that of the destination itself.
    const [first, ...others] = [...this.#names, name].slice(1);
    const path = first === undefined ? Buffer.alloc(0) : others.reduce(joinPath, first);
    this.#onFile(copiedBelow(this.#ends, path));
  }
}
