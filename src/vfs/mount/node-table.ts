/**
 * The nodes that the kernel knows: a number for each file, and where the file is found on the host.
 *
 * The protocol to the host names files by path; the kernel by node ID, which stays the same while a file is
 * renamed, and is one for all hard links of a file. So a node has *places*, each a parent and a name; its
 * path is computed from one of them. A node without places was removed while the kernel still uses it: an
 * open handle may still reach it.
 *
 * A file is recognised by its identity, device and inode number, however it was found. A node lives while
 * the kernel has lookups of it (until FORGET), handles are open, or known names are below it.
 */
import { FUSE_ROOT_ID } from "../../protocols/fuse/constants.ts";
import { isDirectoryMode, typeOfMode } from "../../protocols/vfs/file-numbers.ts";
import type { RemoteStatus } from "../client/remote-files.ts";

const SLASH = 0x2f;

/** A name in a directory. */
export interface Place {
  parent: Node;
  name: Uint8Array;
}

/** A file that the kernel knows. */
export interface Node {
  readonly id: number;
  /** Distinguishes a file from a former one with the same node ID. */
  readonly generation: number;
  /** Inode and device of the file on the host. */
  ino: bigint;
  dev: bigint;
  birth: bigint;
  /** Type bits of the mode. */
  readonly type: number;
  /** The last one is where the file was found most recently. */
  readonly places: Place[];
  /** The place that was found last, also if the file is there no longer. */
  lastPlace: Place | undefined;
  /** Names below a directory that are known, by {@link nameKey}. */
  readonly children: Map<string, Node>;
  /** How often the kernel was told of the node. */
  lookups: number;
  /** Open handles. */
  readonly handles: Set<number>;
  /** The facts that the kernel got last. */
  reported: RemoteStatus | undefined;
  /** Whether the kernel may have pages that are out of date: the next OPEN drops them. */
  hasOldPages: boolean;
  /** The path, valid while {@link pathEpoch} is that of the table. */
  path: Uint8Array | undefined;
  pathEpoch: number;
}

/** Returns a name as a key of a map. */
export function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString("latin1");
}

function identityKey(status: Pick<RemoteStatus, "dev" | "ino" | "birth">): string {
  return `${status.dev}:${status.ino}:${status.birth}`;
}

/** All nodes of a mount. */
export class NodeTable {
  readonly root: Node;
  readonly #byId = new Map<number, Node>();
  readonly #byIdentity = new Map<string, Node>();
  #lastId = FUSE_ROOT_ID;
  /** Changes when a path may have changed. */
  #epoch = 0;

  constructor(status: RemoteStatus) {
    this.root = this.#makeNode(FUSE_ROOT_ID, status);
    this.root.lookups = 1;
  }

  /** The number of nodes. */
  get size(): number {
    return this.#byId.size;
  }

  #makeNode(id: number, { ino, dev, birth, mode }: RemoteStatus): Node {
    const node: Node = {
      ...{ id, generation: 0, ino, dev, birth, type: typeOfMode(mode), places: [] },
      lastPlace: undefined,
      ...{ children: new Map(), lookups: 0, handles: new Set() },
      ...{ reported: undefined, hasOldPages: false, path: undefined, pathEpoch: -1 },
    };
    this.#byId.set(id, node);
    this.#byIdentity.set(identityKey(node), node);
    return node;
  }

  /** Returns a node by its ID; undefined if the kernel was never told of it. */
  get(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  /** Returns the node of a known name. */
  child(parent: Node, name: Uint8Array): Node | undefined {
    return parent.children.get(nameKey(name));
  }

  /** All nodes, in no order. */
  nodes(): IterableIterator<Node> {
    return this.#byId.values();
  }

  /**
   * Returns the path of a node, or of a name in it. The result must not be changed.
   *
   * @returns undefined if the file was removed.
   */
  path(node: Node, name?: Uint8Array): Uint8Array | undefined {
    const path = this.#pathOf(node);
    if (path === undefined || name === undefined) return path;
    return join(path, name);
  }

  #pathOf(node: Node): Uint8Array | undefined {
    if (node === this.root) return EMPTY;
    if (node.pathEpoch === this.#epoch) return node.path;
    const place = node.places.at(-1);
    const parent = place === undefined ? undefined : this.#pathOf(place.parent);
    node.path = place === undefined || parent === undefined ? undefined : join(parent, place.name);
    node.pathEpoch = this.#epoch;
    return node.path;
  }

  /**
   * Returns the node of a name that was found with this status. The caller counts the lookup once the
   * kernel gets it, or calls {@link drop}.
   */
  found(parent: Node, name: Uint8Array, status: RemoteStatus): Node {
    const known = this.child(parent, name);
    if (known !== undefined) {
      if (isSameFile(known, status)) return known;
      this.removed(parent, name);
    }
    const other = this.#byIdentity.get(identityKey(status));
    const isKnown = other !== undefined && isSameFile(other, status) && other !== this.root;
    const node = isKnown ? other : this.#makeNode(++this.#lastId, status);
    // A directory has one name: it was moved on the host.
    if (isDirectoryMode(node.type))
      for (const place of [...node.places]) this.#removePlace(node, place);
    this.#addPlace(node, parent, name);
    return node;
  }

  /** Whether a node is still the file with this status. */
  isSame(node: Node, status: RemoteStatus): boolean {
    return isSameFile(node, status);
  }

  #addPlace(node: Node, parent: Node, name: Uint8Array): void {
    // A host that has a directory below itself: it stays without a path.
    if (node === this.root || isWithin(parent, node)) return;
    // The caller's bytes are a view of a buffer that is read into again.
    const place = { parent, name: name.slice() };
    node.places.push(place);
    node.lastPlace = place;
    parent.children.set(nameKey(name), node);
    this.#byIdentity.set(identityKey(node), node);
    this.#forgetPaths(node);
  }

  #removePlace(node: Node, place: Place): void {
    const index = node.places.indexOf(place);
    if (index < 0) return;
    node.places.splice(index, 1);
    const key = nameKey(place.name);
    if (place.parent.children.get(key) === node) place.parent.children.delete(key);
    this.#forgetPaths(node);
    // The host may use the inode number again.
    if (node.places.length === 0) this.#retire(node);
    this.drop(place.parent);
  }

  #retire(node: Node): void {
    const key = identityKey(node);
    if (this.#byIdentity.get(key) === node) this.#byIdentity.delete(key);
  }

  #forgetPaths(node: Node): void {
    if (node.children.size > 0) this.#epoch++;
    else node.pathEpoch = -1;
  }

  /** Records that a name no longer exists. */
  removed(parent: Node, name: Uint8Array): void {
    const node = this.child(parent, name);
    if (node === undefined) return;
    const key = nameKey(name);
    const place = node.places.find((one) => one.parent === parent && nameKey(one.name) === key);
    if (place !== undefined) this.#removePlace(node, place);
    this.drop(node);
  }

  /** Records that the file of a node is not where it was last found. */
  lost(node: Node): void {
    const place = node.places.at(-1);
    if (place !== undefined) this.removed(place.parent, place.name);
  }

  /** Records a rename; what stood at the new name is replaced. */
  renamed(from: Place, to: Place): void {
    const node = this.child(from.parent, from.name);
    // Both are names of one file: rename(2) then does nothing.
    if (node !== undefined && node === this.child(to.parent, to.name)) return;
    this.removed(to.parent, to.name);
    if (node === undefined) return;
    this.#addPlace(node, to.parent, to.name);
    this.removed(from.parent, from.name);
  }

  /** Records that two names were exchanged. */
  exchanged(one: Place, other: Place): void {
    const [first, second] = [
      this.child(one.parent, one.name),
      this.child(other.parent, other.name),
    ];
    if (first === second) return;
    if (first !== undefined) this.#addPlace(first, other.parent, other.name);
    if (second !== undefined) this.#addPlace(second, one.parent, one.name);
    const remove = (node: Node | undefined, { parent, name }: Place) => {
      const key = nameKey(name);
      const place = node?.places.find((it) => it.parent === parent && nameKey(it.name) === key);
      if (node !== undefined && place !== undefined) this.#removePlace(node, place);
    };
    remove(first, one);
    remove(second, other);
  }

  /** Counts lookups that the kernel has forgotten. */
  forget(id: number, lookups: number): void {
    const node = this.#byId.get(id);
    if (node === undefined || node === this.root) return;
    node.lookups = Math.max(0, node.lookups - lookups);
    this.drop(node);
  }

  /** Removes a node if nothing uses it any longer. */
  drop(node: Node): void {
    if (node === this.root || node.lookups > 0 || node.handles.size > 0) return;
    if (node.children.size > 0 || this.#byId.get(node.id) !== node) return;
    this.#byId.delete(node.id);
    this.#retire(node);
    for (const place of [...node.places]) this.#removePlace(node, place);
  }
}

const EMPTY = new Uint8Array(0);

function join(directory: Uint8Array, name: Uint8Array): Uint8Array {
  if (directory.length === 0) return name.slice();
  const path = new Uint8Array(directory.length + 1 + name.length);
  path.set(directory);
  path[directory.length] = SLASH;
  path.set(name, directory.length + 1);
  return path;
}

/** Whether a directory is another one, or below it. */
function isWithin(directory: Node, other: Node): boolean {
  let at: Node | undefined = directory;
  while (at !== undefined && at !== other) at = at.places.at(-1)?.parent;
  return at !== undefined;
}

function isSameFile(node: Node, { ino, dev, birth, mode }: RemoteStatus): boolean {
  return (
    node.ino === ino && node.dev === dev && node.birth === birth && node.type === typeOfMode(mode)
  );
}
