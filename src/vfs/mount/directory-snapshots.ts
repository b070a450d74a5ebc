/**
 * The facts of all names of a directory, read at once when a program inspects one name after the other.
 *
 * `git status`, make and package managers stat each file of a tree by name. The kernel asks for each; the
 * host is asked for the first few, then for the whole list, and the other names are answered from it.
 *
 * A list is as old as what the kernel keeps may be, and is dropped by any change of the directory or of a
 * file in it, of this mount or of the host, also by one that comes while the list is being read.
 */
import type { RemoteFiles, RemotePage, RemoteStatus } from "../client/remote-files.ts";
import { type Node, nameKey } from "./node-table.ts";

/** Lookups in one directory that lead to a list, and the time between them at most, in milliseconds. */
const LOOKUPS = 4;
const PAUSE_MS = 50;

/** A directory that changes is not listed for this long: each change would drop the list, in milliseconds. */
const QUIET_MS = 1000;

/** Directories with more names are not read whole. */
const MAX_NAMES = 4000;

interface Snapshot {
  /** By {@link nameKey}; undefined for a name whose facts are to be asked for. */
  names: Map<string, RemoteStatus | undefined>;
  atMs: number;
}

interface Watched {
  lookups: number;
  lastMs: number;
  /** When it changed last. */
  changedMs: number;
  isLoading: boolean;
  /** Changes with each change, so that a list that was being read meanwhile is dropped. */
  version: number;
  snapshot: Snapshot | undefined;
}

/** What is known of a name. */
export interface KnownName {
  /** Undefined: there is no such name. */
  status: RemoteStatus | undefined;
  /** How old that is, in milliseconds. */
  ageMs: number;
}

/** Settings of {@link DirectorySnapshots}. */
export interface SnapshotOptions {
  /** How long a list is used, in milliseconds; 0: there are none. */
  validMs: number;
  files(): RemoteFiles;
  path(directory: Node): Uint8Array | undefined;
  now?(): number;
}

/** The lists of a mount. */
export class DirectorySnapshots {
  readonly #options: SnapshotOptions;
  readonly #now: () => number;
  readonly #watched = new WeakMap<Node, Watched>();

  constructor(options: SnapshotOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Returns what a list knows of a name; undefined if the host is to be asked, which is counted. */
  find(directory: Node, name: Uint8Array): KnownName | undefined {
    if (this.#options.validMs === 0) return undefined;
    const now = this.#now();
    const watched = this.#watched.get(directory);
    const { snapshot } = watched ?? {};
    const ageMs = now - (snapshot?.atMs ?? -Infinity);
    if (snapshot !== undefined && ageMs < this.#options.validMs) {
      const key = nameKey(name);
      const status = snapshot.names.get(key);
      if (status !== undefined || !snapshot.names.has(key)) return { status, ageMs };
    }
    this.#count(directory, watched, now);
    return undefined;
  }

  #count(directory: Node, known: Watched | undefined, now: number): void {
    const watched = known ?? { ...UNWATCHED };
    if (known === undefined) this.#watched.set(directory, watched);
    watched.lookups = now - watched.lastMs > PAUSE_MS ? 1 : watched.lookups + 1;
    watched.lastMs = now;
    if (watched.lookups < LOOKUPS || watched.isLoading) return;
    if (now - watched.changedMs < QUIET_MS) return;
    watched.lookups = 0;
    void this.#load(directory, watched);
  }

  async #load(directory: Node, watched: Watched): Promise<void> {
    watched.isLoading = true;
    const { version } = watched;
    // What changes on the host while the list is read is as old as its beginning.
    const atMs = this.#now();
    try {
      const names = await this.#read(directory);
      const isCurrent = watched.version === version;
      watched.snapshot = names !== undefined && isCurrent ? { names, atMs } : undefined;
    } catch {
      // The names are asked for one by one.
    } finally {
      watched.isLoading = false;
    }
  }

  async #read(directory: Node): Promise<Snapshot["names"] | undefined> {
    const path = this.#options.path(directory);
    if (path === undefined) return undefined;
    const files = this.#options.files();
    const names: Snapshot["names"] = new Map();
    const handle = await files.openDirectory(path);
    try {
      for (let from: bigint | undefined = 0n; from !== undefined;) {
        const page: RemotePage = await files.list(handle, path, from);
        for (const { name, stat } of page.entries) names.set(nameKey(name), stat);
        if (names.size > MAX_NAMES) return undefined;
        from = page.next;
      }
    } finally {
      // A handle that cannot be closed is closed with the connection.
      void files.release(handle).catch(() => undefined);
    }
    return names;
  }

  /** Drops the list of a directory, one that is being read included. */
  drop(directory: Node): void {
    const watched = this.#watched.get(directory);
    if (watched === undefined) return;
    watched.version++;
    watched.changedMs = this.#now();
    watched.snapshot = undefined;
  }

  /** Drops the lists that a change of a node concerns: its own, and those of its directories. */
  changed(node: Node): void {
    this.drop(node);
    for (const { parent } of node.places) this.drop(parent);
  }
}

const UNWATCHED: Watched = {
  ...{
    lookups: 0,
    lastMs: -Infinity,
    changedMs: -Infinity,
    isLoading: false,
    version: 0,
    snapshot: undefined,
  },
};
