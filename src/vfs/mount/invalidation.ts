/**
 * Changes on the host as the kernel gets to know them. The host does not notify of what this mount has
 * changed itself.
 *
 * What the kernel keeps of a changed file are its attributes (invalidated here), its pages (which the kernel
 * drops when it sees another time or size, and when the file is opened next), and its name. A name is not invalidated: the kernel
 * would wait for the lock of its directory, which a process may hold that waits for this program. It need
 * not be: if a name has become another file, the next use of its attributes fails with ESTALE, and the
 * kernel looks the name up again.
 */
import { encodeInvalidateNode } from "../../protocols/fuse/reply.ts";
import type { VfsNote } from "../../protocols/vfs/responses.ts";
import type { Node, NodeTable } from "./node-table.ts";

const SLASH = 0x2f;

/** What notifications lead to. */
export interface Invalidated {
  /** Called with a node whose facts or names have changed. */
  onNode?(node: Node): void;
  /** Sends a notification to the kernel. */
  notify(bytes: Uint8Array): void;
  /**
   * Called with the path of what changed, and the path that still exists: the file, or its directory if it
   * was removed.
   */
  onChange?(path: Uint8Array): void;
}

/** Passes the host's notifications on to the kernel. */
export class Invalidation {
  readonly #nodes: NodeTable;
  readonly #invalidated: Invalidated;

  constructor(nodes: NodeTable, invalidated: Invalidated) {
    this.#nodes = nodes;
    this.#invalidated = invalidated;
  }

  /** Handles one notification. */
  note({ kind, path, newPath }: VfsNote): void {
    switch (kind) {
      case "overflow":
        for (const node of this.#nodes.nodes()) {
          node.hasOldPages = true;
          this.#invalidate(node);
        }
        break;
      case "created":
        this.#invalidate(this.#find(parentOf(path)));
        this.#changed(path, path);
        break;
      case "modified":
        this.#dropPages(path);
        this.#changed(path, path);
        break;
      case "attributes":
        this.#changed(path, path);
        break;
      case "removed":
        this.#changed(path, parentOf(path));
        break;
      case "renamed":
        this.#changed(path, parentOf(path));
        if (newPath !== undefined) this.#changed(newPath, newPath);
    }
  }

  /** The time of a change may be that of the one before: the clock of times has ticks of milliseconds. */
  #dropPages(path: Uint8Array): void {
    const node = this.#find(path);
    if (node !== undefined) node.hasOldPages = true;
  }

  /** @param existing what is still there. */
  #changed(path: Uint8Array, existing: Uint8Array): void {
    const parent = this.#find(parentOf(path));
    if (parent !== undefined) this.#invalidated.onNode?.(parent);
    this.#invalidate(this.#find(path));
    if (existing !== path) this.#invalidate(parent);
    this.#invalidated.onChange?.(existing);
  }

  #find(path: Uint8Array): Node | undefined {
    let node: Node | undefined = this.#nodes.root;
    for (let begin = 0; begin < path.length && node !== undefined;) {
      const slash = path.indexOf(SLASH, begin);
      const end = slash === -1 ? path.length : slash;
      node = this.#nodes.child(node, path.subarray(begin, end));
      begin = end + 1;
    }
    return node;
  }

  #invalidate(node: Node | undefined): void {
    if (node === undefined) return;
    this.#invalidated.onNode?.(node);
    this.#invalidated.notify(encodeInvalidateNode(node.id));
  }
}

function parentOf(path: Uint8Array): Uint8Array {
  return path.subarray(0, Math.max(0, path.lastIndexOf(SLASH)));
}
