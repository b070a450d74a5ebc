/** Opening the files of a mount again after the connection to the host was lost. */
import type { RemoteFiles } from "../client/remote-files.ts";
import type { OpenFile } from "./handle-table.ts";
import type { MountState } from "./mount-state.ts";

/** How a reconnect ended. */
export interface Reopened {
  /** Files that are open again. */
  files: number;
  /** Files that could not be: removed, replaced by another file, or refused. Their use fails with ESTALE. */
  lost: number;
}

/**
 * Opens all files on a new connection, each by its path, and checks that it is the same file; then the
 * mount uses the new connection.
 */
export async function switchConnection(state: MountState, fresh: RemoteFiles): Promise<Reopened> {
  const opened = new Map<OpenFile, number | undefined>();
  const files = [...state.handles.all()].filter((handle) => handle.kind === "file");
  const reopening = files.map(async (file) => opened.set(file, await reopen(state, fresh, file)));
  await Promise.all(reopening);
  state.files = fresh;
  let lost = 0;
  for (const [file, remote] of opened) {
    file.remote = remote;
    if (remote === undefined) lost++;
    // Closed by its program in the meantime.
    else if (state.handles.file(file.id) === undefined) void fresh.release(remote).catch(ignore);
  }
  for (const handle of state.handles.all()) {
    if (handle.kind === "directory") Object.assign(handle, { remote: undefined, ahead: undefined });
  }
  return { files: opened.size - lost, lost };
}

/** Returns the handle of the file on the new connection; undefined if it is another file, or none. */
async function reopen(
  { nodes }: MountState,
  fresh: RemoteFiles,
  { node, flags }: OpenFile,
): Promise<number | undefined> {
  const path = nodes.path(node);
  if (path === undefined) return undefined;
  try {
    const { handle, status } = await fresh.open(path, flags);
    const now = status ?? (await fresh.getStatus({ path, handle }));
    if (nodes.isSame(node, now)) return handle;
    void fresh.release(handle).catch(ignore);
    return undefined;
  } catch {
    return undefined;
  }
}

function ignore(): void {
  // The handle is closed with the connection.
}
