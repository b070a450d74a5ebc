/** An exported directory and one connection's session of it, without a connection. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { unpackEntries } from "../../src/protocols/vfs/entries.ts";
import type { VfsRequest } from "../../src/protocols/vfs/requests.ts";
import type { VfsResponse } from "../../src/protocols/vfs/responses.ts";
import {
  type ExportedDirectoryOptions,
  ExportedDirectory,
} from "../../src/vfs/server/exported-directory.ts";
import type { FileSession } from "../../src/vfs/server/file-session.ts";
import { HiddenNames } from "../../src/vfs/server/hidden-names.ts";
import { OwnerMap } from "../../src/vfs/server/owner-map.ts";
import { ScratchDirectory } from "./scratch-directory.ts";

/** Text as the bytes of a path, one byte a character. */
export function pathBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** Flags of open(2) on the wire. */
export const FLAGS = {
  ...{ read: 0, write: 1, readWrite: 2, exclusive: 0o200, truncate: 0o1000 },
  ...{ append: 0o2000, directory: 0o200_000 },
} as const;

/** Options of a directory's export for tests. */
export function exportOptions(
  given: Partial<ExportedDirectoryOptions> = {},
): ExportedDirectoryOptions {
  const byDefault = { isReadOnly: false, owners: new OwnerMap(), hidden: new HiddenNames([]) };
  return { ...byDefault, hasXattr: false, ...given };
}

/** An export of a new directory. */
export class TestExport implements Disposable {
  readonly #scratch = new ScratchDirectory();
  /** The exported directory; its neighbours are outside. */
  readonly root = join(this.#scratch.path, "root");
  readonly files: ExportedDirectory;
  readonly session: FileSession;

  constructor(given: Partial<ExportedDirectoryOptions> & { followsLinks?: boolean } = {}) {
    mkdirSync(this.root);
    this.files = ExportedDirectory.open(this.root, exportOptions(given));
    this.session = this.files.open(given.followsLinks === true);
  }

  /** A path of this machine below the root. */
  at(path: string): string {
    return join(this.root, path);
  }

  /** A path of this machine beside the root. */
  outside(path: string): string {
    return join(this.#scratch.path, path);
  }

  /** The answer to a request that is answered at once. */
  ask(request: VfsRequest): VfsResponse {
    const answer = this.session.handle(request);
    if (answer instanceof Promise) throw new Error(`${request.op} is answered later`);
    return answer;
  }

  /** Opens a file and returns its handle; fails with the errno. */
  open(path: string, flags: number): number {
    const { errno, handle } = this.ask({ op: "open", path: pathBytes(path), flags });
    if (handle === undefined) throw new Error(`open ${path}: errno ${errno}`);
    return handle;
  }

  /** All names of a directory, sorted, read in pages of a size. */
  list(path: string, size = 4096): string[] {
    const handle = this.open(path, FLAGS.directory);
    const names: string[] = [];
    for (let offset = 0n; ;) {
      const { errno, data } = this.ask({ op: "readdirPlus", handle, offset, size });
      if (errno !== 0) throw new Error(`readdirPlus ${path}: errno ${errno}`);
      const entries = unpackEntries(data ?? new Uint8Array(0));
      names.push(...entries.map(({ name }) => Buffer.from(name).toString("latin1")));
      const last = entries.at(-1);
      if (last === undefined) break;
      offset = last.offset;
    }
    this.ask({ op: "release", handle });
    return names.sort();
  }

  [Symbol.dispose](): void {
    this.session.close();
    this.files.close();
    this.#scratch[Symbol.dispose]();
  }
}
