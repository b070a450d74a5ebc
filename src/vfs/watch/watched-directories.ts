/**
 * The watched directories as a tree, by the numbers of their watches. A directory without a place (its
 * place was taken by another one) is detached: it keeps its watch until it is attached again or removed.
 */
import { type BytesPath, joinPath } from "../../files/bytes-path.ts";

/** A watched directory. */
export class WatchedDirectory {
  /** The number of its watch. */
  readonly watch: number;
  /** Undefined for the root, and while it is detached. */
  parent: WatchedDirectory | undefined;
  name: Uint8Array;
  /** Watched directories in it, by {@link keyOf} their names. */
  readonly children = new Map<string, WatchedDirectory>();
  /** Keys of entries that were reported when it was read, whose own events may still be in the queue. */
  reported: Set<string> | undefined;

  constructor(watch: number, name: Uint8Array) {
    this.watch = watch;
    this.name = name;
  }
}

/** A name in a watched directory. */
export interface WatchedPlace {
  parent: WatchedDirectory;
  name: Uint8Array;
}

const NO_NAME = new Uint8Array(0);

/** A name as the key of a map: one character a byte. */
export function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString("latin1");
}

/** The tree of all watched directories. */
export class WatchedDirectories {
  readonly root: WatchedDirectory;
  readonly #byWatch = new Map<number, WatchedDirectory>();

  constructor(rootWatch: number) {
    this.root = new WatchedDirectory(rootWatch, NO_NAME);
    this.#byWatch.set(rootWatch, this.root);
  }

  get size(): number {
    return this.#byWatch.size;
  }

  /** Returns the directory of a watch. */
  find(watch: number): WatchedDirectory | undefined {
    return this.#byWatch.get(watch);
  }

  /** Returns all directories, the detached ones included. */
  all(): Iterable<WatchedDirectory> {
    return this.#byWatch.values();
  }

  /** Returns the watched directory that has a name. */
  at({ parent, name }: WatchedPlace): WatchedDirectory | undefined {
    return parent.children.get(keyOf(name));
  }

  /** Adds a directory that has no place yet. */
  add(watch: number, name: Uint8Array): WatchedDirectory {
    const added = new WatchedDirectory(watch, name);
    this.#byWatch.set(watch, added);
    return added;
  }

  /** Moves a directory to a place. @returns the directory that had this place, now detached. */
  attach(directory: WatchedDirectory, place: WatchedPlace): WatchedDirectory | undefined {
    const displaced = this.at(place);
    if (displaced === directory) return undefined;
    if (displaced !== undefined) this.detach(displaced);
    this.detach(directory);
    directory.parent = place.parent;
    directory.name = place.name;
    place.parent.children.set(keyOf(place.name), directory);
    return displaced;
  }

  /** Takes a directory from its place, with all that is below it. */
  detach(directory: WatchedDirectory): void {
    directory.parent?.children.delete(keyOf(directory.name));
    directory.parent = undefined;
  }

  /** Removes a directory and all below it. @returns their watches. */
  remove(directory: WatchedDirectory): number[] {
    this.detach(directory);
    const removed = [directory];
    for (const one of removed) removed.push(...one.children.values());
    for (const { watch } of removed) this.#byWatch.delete(watch);
    return removed.map(({ watch }) => watch);
  }

  /** Whether a directory has a place below the root, or is the root. */
  isAttached(directory: WatchedDirectory): boolean {
    return topOf(directory) === this.root;
  }

  /** Returns the names from the root to a directory. */
  names(directory: WatchedDirectory): Uint8Array[] {
    const names: Uint8Array[] = [];
    for (let one = directory; one.parent !== undefined; one = one.parent) names.push(one.name);
    return names.toReversed();
  }

  /** Returns the path of an entry relative to the root. */
  path({ parent, name }: WatchedPlace): BytesPath {
    return [...this.names(parent), name].reduce<BytesPath>(
      (path, one) => (path.length === 0 ? Buffer.from(one) : joinPath(path, one)),
      Buffer.alloc(0),
    );
  }
}

/** Whether `directory` is `other` or below it. */
export function isWithin(directory: WatchedDirectory, other: WatchedDirectory): boolean {
  for (let one: WatchedDirectory | undefined = directory; one !== undefined; one = one.parent) {
    if (one === other) return true;
  }
  return false;
}

function topOf(directory: WatchedDirectory): WatchedDirectory {
  let top = directory;
  while (top.parent !== undefined) top = top.parent;
  return top;
}
