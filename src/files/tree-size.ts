/** The size of a local tree, for progress. */
import type { BytesPath } from "./bytes-path.ts";
import type { DirectoryHandle } from "./directory-handle.ts";
import { DirectoryStack } from "./directory-stack.ts";
import { fileKind } from "./facts.ts";
import { resolvePath } from "./resolve-path.ts";

/** The rest of a directory that is still to be counted. */
interface Cursor {
  names: readonly Uint8Array[];
  next: number;
}

const cursorOf = (handle: DirectoryHandle): Cursor => ({
  names: handle.entries().map(({ name }) => name),
  next: 0,
});

/** The bytes of a file, or of all files in a tree; what cannot be read counts as nothing. */
export function treeBytes(path: BytesPath): number {
  let bytes = 0;
  try {
    using resolved = resolvePath(path, true);
    const { directory, name, status } = resolved;
    if (status === undefined || fileKind(status) !== "directory") return status?.size ?? 0;
    const root = name === undefined ? directory.reopen() : directory.openDirectory(name);
    using stack = new DirectoryStack(root, path, cursorOf(root));
    for (;;) {
      const { state } = stack;
      const entry = state.names[state.next++];
      if (entry !== undefined) bytes += countEntry(stack, entry);
      else if (stack.depth === 0) return bytes;
      else stack.leave();
    }
  } catch {
    return bytes;
  }
}

/** The bytes of an entry; a directory is entered. */
function countEntry(stack: DirectoryStack<Cursor>, name: Uint8Array): number {
  const status = stack.top.find(name);
  if (status === undefined) return 0;
  if (fileKind(status) !== "directory") return status.size;
  try {
    const handle = stack.top.openDirectory(name);
    stack.enter(handle, name, cursorOf(handle));
  } catch {
    // It cannot be read, which the copy will report.
  }
  return 0;
}
