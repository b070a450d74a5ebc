/** Opening the files of a mount again after the connection to the host was lost. */
import type { RemoteFiles } from "../client/remote-files.ts";
import type { OpenFile } from "./handle-table.ts";
import type { MountState } from "./mount-state.ts";

/** How a reconnect ended. */
export interface Reopened {
  /** Files that are open again. */
  files: number;
  /** Files that were removed, replaced, refused, or not opened in time. Their use fails with ESTALE. */
  lost: number;
}

/** How long a host has to open all files again, in milliseconds. Until then every use of the mount fails. */
const REOPEN_MS = 10_000;

/**
 * Opens all files on a new connection, each by its path, and checks that it is the same file; then the
 * mount uses the new connection. Files that the host has not opened in time are lost: a host that answers
 * nothing must not keep the mount from going on.
 */
export async function switchConnection(
  state: MountState,
  fresh: RemoteFiles,
  timeoutMs = REOPEN_MS,
): Promise<Reopened> {
  const opened = new Map<OpenFile, number | undefined>();
  const files = [...state.handles.all()].filter((handle) => handle.kind === "file");
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), timeoutMs);
  const reopening = files.map(async (file) => {
    const found = reopen(state, fresh, file);
    const remote = await Promise.race([found, late.promise]);
    opened.set(file, remote);
    // An answer that comes too late is of no use.
    if (remote === undefined) void found.then((handle) => release(fresh, handle));
  });
  await Promise.all(reopening);
  clearTimeout(timer);
  state.files = fresh;
  let lost = 0;
  for (const [file, remote] of opened) {
    file.remote = remote;
    if (remote === undefined) lost++;
    // Closed by its program in the meantime.
    else if (state.handles.file(file.id) === undefined) release(fresh, remote);
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
    release(fresh, handle);
    return undefined;
  } catch {
    return undefined;
  }
}

/** Closes a handle; one that cannot be is closed with the connection. */
function release(files: RemoteFiles, handle: number | undefined): void {
  if (handle !== undefined) void files.release(handle).catch(() => undefined);
}
