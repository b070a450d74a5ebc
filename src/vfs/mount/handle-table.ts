/** The open files and directories of a mount: the kernel's handle numbers, and the host's. */
import type { ListedEntry, RemotePage } from "../client/remote-files.ts";
import type { Node } from "./node-table.ts";

/** An open file. */
export interface OpenFile {
  readonly kind: "file";
  readonly id: number;
  readonly node: Node;
  /** The host's handle; undefined: the file could not be opened again after the connection was lost. */
  remote: number | undefined;
  /** Flags of open(2), to open it again. */
  readonly flags: number;
}

/** An open directory. */
export interface OpenDirectory {
  readonly kind: "directory";
  readonly id: number;
  readonly node: Node;
  /** The host's handle; undefined: it is opened again when it is needed. */
  remote: number | undefined;
  /** Beginnings of the parts that were read: the position of the first entry, and the host's cursor. */
  parts: { first: number; cursor: bigint }[];
  /** The part in memory: its entries, and the index in {@link parts}. */
  current: { index: number; entries: readonly ListedEntry[]; next: bigint | undefined } | undefined;
  /** The part after it, which is asked for before it is needed. */
  ahead: { cursor: bigint; page: Promise<RemotePage> } | undefined;
}

/** All open files and directories. */
export class HandleTable {
  readonly #open = new Map<number, OpenFile | OpenDirectory>();
  #last = 0;

  /** The number of open files and directories. */
  get size(): number {
    return this.#open.size;
  }

  /** Records an open file. */
  addFile(node: Node, remote: number, flags: number): OpenFile {
    const file: OpenFile = { kind: "file", id: ++this.#last, node, remote, flags };
    this.#add(file);
    return file;
  }

  /** Records an open directory. */
  addDirectory(node: Node, remote: number): OpenDirectory {
    const directory: OpenDirectory = {
      ...{ kind: "directory", id: ++this.#last, node, remote, parts: [] },
      ...{ current: undefined, ahead: undefined },
    };
    this.#add(directory);
    return directory;
  }

  #add(opened: OpenFile | OpenDirectory): void {
    this.#open.set(opened.id, opened);
    opened.node.handles.add(opened.id);
  }

  /** Returns an open file; undefined for an unknown handle. */
  file(id: number): OpenFile | undefined {
    const opened = this.#open.get(id);
    return opened?.kind === "file" ? opened : undefined;
  }

  /** Returns an open directory; undefined for an unknown handle. */
  directory(id: number): OpenDirectory | undefined {
    const opened = this.#open.get(id);
    return opened?.kind === "directory" ? opened : undefined;
  }

  /** Returns any open file of a node that the host still has open. */
  anyFile(node: Node): OpenFile | undefined {
    for (const id of node.handles) {
      const file = this.file(id);
      if (file?.remote !== undefined) return file;
    }
    return undefined;
  }

  /** All open files and directories. */
  all(): IterableIterator<OpenFile | OpenDirectory> {
    return this.#open.values();
  }

  /** Removes a handle. */
  remove(id: number): void {
    this.#open.get(id)?.node.handles.delete(id);
    this.#open.delete(id);
  }
}
