/** Opening a file when its name is looked up: see {@link StaleRetries}. */
import type { FuseReply } from "../../protocols/fuse/reply.ts";
import { RemoteError, type RemoteOpened } from "../client/remote-files.ts";
import { atPath, type Call, countedEntry, type MountState, validity } from "./mount-state.ts";
import type { Node } from "./node-table.ts";

/**
 * Opens a name if its lookup is a second attempt.
 *
 * @returns the answer of the lookup; undefined if the name is to be looked up as others are.
 */
export async function openAhead(
  state: MountState,
  { pid }: Call,
  parent: Node,
  name: Uint8Array,
): Promise<((reply: FuseReply) => void) | undefined> {
  const { files, retries } = state;
  const flags = retries.flagsOf(pid, parent, name);
  if (flags === undefined) return undefined;
  const opened = await open(state, parent, name, flags);
  if (opened === undefined) return undefined;
  const { handle, status } = opened;
  if (status === undefined) {
    void files.release(handle).catch(() => undefined);
    return undefined;
  }
  const node = state.nodes.found(parent, name, status);
  retries.keep(pid, { node, files, handle, status });
  return (reply) => {
    reply.entry(countedEntry(node, status), validity(state));
  };
}

/** A file that cannot be opened may be found all the same. */
async function open(
  state: MountState,
  parent: Node,
  name: Uint8Array,
  flags: number,
): Promise<RemoteOpened | undefined> {
  try {
    return await atPath(state, parent, name, (path) => state.files.open(path, flags));
  } catch (thrown) {
    if (thrown instanceof RemoteError) return undefined;
    throw thrown;
  }
}
