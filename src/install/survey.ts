/** The state of a tree that a plan depends on. */
import { VsockboxError } from "../errors.ts";
import { MAX_INITTAB_BYTES, type InstallTarget } from "./apply.ts";
import { findService, type FoundService, INIT_PATHS } from "./init-system.ts";
import { findEntry } from "./inittab.ts";
import type { Found, Item } from "./items.ts";
import {
  decodeManifest,
  type Entry,
  type Manifest,
  manifestPath,
  MAX_MANIFEST_BYTES,
} from "./manifest.ts";
import { INITTAB } from "./service-texts.ts";
import type { Tree } from "./tree.ts";

/**
 * Reads the installation below `prefix`.
 *
 * @param force ignores a broken manifest.
 * @throws {VsockboxError} CONFIG if the manifest is not one of vsockbox.
 */
export function findPlace(tree: Tree, prefix: string, force: boolean): InstallTarget {
  const path = tree.canonical(manifestPath(prefix));
  const bytes = tree.read(path, MAX_MANIFEST_BYTES);
  let manifest: Manifest | undefined;
  try {
    manifest = bytes && decodeManifest(bytes.toString(), tree.outside(path));
  } catch (thrown) {
    if (!force || !(thrown instanceof VsockboxError)) throw thrown;
  }
  return {
    tree,
    manifestPath: path,
    manifest: manifest && { ...manifest, entries: manifest.entries.map(canonicalIn(tree)) },
  };
}

/**
 * Returns the item with its canonical path: an inittab may be a link, and is edited at the file to which it
 * leads.
 */
export function canonicalIn(tree: Tree): <T extends Item | Entry>(thing: T) => T {
  return (thing) => ({
    ...thing,
    path: thing.path === INITTAB ? tree.resolve(INITTAB) : tree.canonical(thing.path),
  });
}

/** The service manager that a tree starts. */
export function serviceOf(tree: Tree): FoundService {
  const path = INIT_PATHS.find((candidate) => tree.has(candidate));
  return findService({
    init: path && tree.resolve(path),
    has: (candidate) => tree.has(candidate),
  });
}

/** Whether there is an inittab that is not, as a whole, as we wrote it. */
export function hasInittab({ tree, manifest }: InstallTarget): boolean {
  const path = tree.resolve(INITTAB);
  const found = tree.find(path);
  if (found.kind !== "file") return found.kind !== "nothing";
  return !(manifest?.entries ?? []).some(
    (entry) => entry.kind === "file" && entry.path === path && entry.sha256 === found.sha256,
  );
}

/**
 * What stands at the paths of items and entries.
 *
 * @throws {VsockboxError} CONFIG if the marks in an inittab are damaged; IO.
 */
export function survey(
  { tree, manifest }: InstallTarget,
  items: readonly Item[],
): ReadonlyMap<string, Found> {
  const entries = manifest?.entries ?? [];
  const paths = new Set([...items, ...entries].map(({ path }) => path));
  const withLines = new Set(
    [...items, ...entries].filter(({ kind }) => kind === "lines").map(({ path }) => path),
  );
  const look = (path: string): Found => {
    const found = tree.find(path);
    if (found.kind !== "file" || !withLines.has(path)) return found;
    const text = tree.read(path, MAX_INITTAB_BYTES)?.toString("latin1") ?? "";
    return { ...found, lines: findEntry(text) };
  };
  return new Map([...paths].map((path) => [path, look(path)]));
}
