/** Opens and reads directories below a root by the names of their path, and follows no link. */
import { constants, statSync } from "node:fs";
import { reasonOf } from "../../errors.ts";
import { type DirectoryEntry, DT_DIR, DT_UNKNOWN } from "../../ffi/directory-calls.ts";
import type { BytesPath } from "../../files/bytes-path.ts";
import { DirectoryHandle, type Identity, isSameFile } from "../../files/directory-handle.ts";

/** The directory was removed, or replaced by something else, after it was reported. */
const CHANGED_ERRORS: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);
/** This user may not read the directory. */
const UNREADABLE_ERRORS: ReadonlySet<string | undefined> = new Set(["EACCES", "EPERM"]);

/** An entry of a directory. */
export interface TreeEntry {
  name: Uint8Array;
  isDirectory: boolean;
}

/** How the root of a tree is opened again. */
export type TreeRoot =
  /** By a descriptor, wherever the directory is moved to. It is closed with the reader. */
  | { kind: "handle"; handle: DirectoryHandle }
  /** By its path, as long as that is the same directory: an open directory is never reported as removed. */
  | { kind: "path"; path: BytesPath; identity: Identity };

/** The directories of one tree. */
export class TreeReader implements Disposable {
  readonly #root: TreeRoot;
  readonly #skippedDevices: ReadonlySet<number>;
  /** How often a directory was not opened since this user may not read it. */
  unreadable = 0;

  constructor(root: TreeRoot) {
    this.#root = root;
    const { device } = root.kind === "path" ? root.identity : root.handle.status();
    this.#skippedDevices = pseudoDevices(device);
  }

  /**
   * Opens a directory.
   *
   * @param names from the root to it; none for the root itself.
   * @returns undefined if it does not exist, is not a directory any more, may not be read, or is in /proc
   * or /sys. The caller closes it.
   */
  open(names: readonly Uint8Array[]): DirectoryHandle | undefined {
    try {
      const handle = this.#openBelow(this.#openRoot(), names);
      if (handle === undefined || !this.#skippedDevices.has(handle.status().device)) return handle;
      handle.close();
    } catch (thrown) {
      const { errno } = reasonOf(thrown);
      if (UNREADABLE_ERRORS.has(errno)) this.unreadable++;
      else if (!CHANGED_ERRORS.has(errno)) throw thrown;
    }
    return undefined;
  }

  #openRoot(): DirectoryHandle | undefined {
    if (this.#root.kind === "handle") return this.#root.handle.reopen();
    const { path, identity } = this.#root;
    const handle = DirectoryHandle.open(path);
    if (isSameFile(handle.status(), identity)) return handle;
    handle.close();
    return undefined;
  }

  #openBelow(
    root: DirectoryHandle | undefined,
    names: readonly Uint8Array[],
  ): DirectoryHandle | undefined {
    let handle = root;
    for (const [index, name] of names.entries()) {
      if (handle === undefined) return undefined;
      using above: DirectoryHandle = handle;
      const isLast = index === names.length - 1;
      handle = isLast ? above.openDirectory(name) : above.openDirectoryPath(name);
    }
    return handle;
  }

  [Symbol.dispose](): void {
    if (this.#root.kind === "handle") this.#root.handle.close();
  }
}

/** Returns the entries of a directory; none if it was removed. */
export function readTreeEntries(directory: DirectoryHandle): TreeEntry[] {
  let entries: DirectoryEntry[];
  try {
    entries = directory.entries();
  } catch (thrown) {
    if (!CHANGED_ERRORS.has(reasonOf(thrown).errno)) throw thrown;
    return [];
  }
  return entries.map(({ name, type }) => ({
    name,
    isDirectory: type === DT_UNKNOWN ? isDirectoryAt(directory, name) : type === DT_DIR,
  }));
}

function isDirectoryAt(directory: DirectoryHandle, name: Uint8Array): boolean {
  const mode = directory.find(name)?.mode ?? 0;
  return (mode & constants.S_IFMT) === constants.S_IFDIR;
}

/** Returns the devices of file systems without events, unless the root is in one. */
function pseudoDevices(rootDevice: number): Set<number> {
  const devices = ["/proc", "/sys"].map(
    (path) => statSync(path, { throwIfNoEntry: false })?.dev ?? rootDevice,
  );
  return new Set(devices.filter((device) => device !== rootDevice));
}
