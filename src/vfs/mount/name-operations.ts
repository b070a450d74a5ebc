/** Operations on names: finding, making, renaming and removing them. */
import { ERRNO } from "../../ffi/errno.ts";
import { RemoteError, type RemoteStatus } from "../client/remote-files.ts";
import type { FuseOperation } from "../../protocols/fuse/request.ts";
import { RENAME_FLAGS, RenameFlag } from "../../protocols/vfs/file-numbers.ts";
import {
  type ReplyBody,
  atPath,
  type Call,
  entryAnswer,
  isMissing,
  type MountState,
  nodeOf,
  validity,
} from "./mount-state.ts";
import { openAhead } from "./open-ahead.ts";

/** The operation with this name. */
export type Of<Op extends FuseOperation["op"]> = Extract<FuseOperation, { op: Op }>;

/** LOOKUP. */
export async function lookUp(state: MountState, call: Call, name: Uint8Array): Promise<ReplyBody> {
  const parent = nodeOf(state, call.node);
  const ahead = await openAhead(state, call, parent, name);
  if (ahead !== undefined) return ahead;
  const known = state.snapshots.find(parent, name);
  if (known?.status !== undefined) {
    return entryAnswer(state, parent, name, known.status, known.ageMs);
  }
  try {
    if (known !== undefined) throw new RemoteError(ERRNO.ENOENT);
    const status = await atPath(state, parent, name, (path) =>
      state.files.getStatus({ path, handle: undefined }),
    );
    return entryAnswer(state, parent, name, status);
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
    state.nodes.removed(parent, name);
    const { missingMs } = state.policy;
    if (missingMs === 0) throw thrown;
    const missing = { node: 0, generation: 0, attributes: undefined };
    return (reply) => {
      reply.entry(missing, { ...validity(state), entryMs: missingMs });
    };
  }
}

/** MKDIR, MKNOD and SYMLINK: makes a name and finds it. */
export async function make(
  state: MountState,
  call: Call,
  name: Uint8Array,
  create: (path: Uint8Array) => Promise<RemoteStatus>,
): Promise<ReplyBody> {
  const parent = nodeOf(state, call.node);
  return entryAnswer(state, parent, name, await atPath(state, parent, name, create));
}

/** LINK. */
export async function link(
  state: MountState,
  call: Call,
  { existing, name }: Of<"link">,
): Promise<ReplyBody> {
  const parent = nodeOf(state, call.node);
  const file = nodeOf(state, existing);
  const status = await atPath(state, parent, name, (path) =>
    atPath(state, file, undefined, (from) => state.files.link(from, path)),
  );
  return entryAnswer(state, parent, name, status);
}

/** UNLINK and RMDIR. */
export async function remove(
  state: MountState,
  call: Call,
  { op, name }: Of<"unlink" | "removeDirectory">,
): Promise<ReplyBody> {
  const parent = nodeOf(state, call.node);
  await atPath(state, parent, name, (path) =>
    op === "unlink" ? state.files.unlink(path) : state.files.removeDirectory(path),
  );
  state.nodes.removed(parent, name);
  return undefined;
}

/** RENAME and RENAME2. */
export async function rename(
  state: MountState,
  call: Call,
  { name, newName, newParent, flags }: Of<"rename">,
): Promise<ReplyBody> {
  if ((flags & ~RENAME_FLAGS) !== 0) throw new RemoteError(ERRNO.EINVAL);
  const from = { parent: nodeOf(state, call.node), name };
  const to = { parent: nodeOf(state, newParent), name: newName };
  await atPath(state, from.parent, name, (source) =>
    atPath(state, to.parent, newName, (target) => state.files.rename(source, target, flags)),
  );
  if ((flags & RenameFlag.Exchange) === 0) state.nodes.renamed(from, to);
  else state.nodes.exchanged(from, to);
  return undefined;
}
