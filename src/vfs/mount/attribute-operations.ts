/** Operations on attributes. */
import { ERRNO } from "../../ffi/errno.ts";
import type { FuseReply } from "../../protocols/fuse/reply.ts";
import type { FuseChanges } from "../../protocols/fuse/request.ts";
import { RemoteError, type RemoteStatus, type RemoteTarget } from "../client/remote-files.ts";
import {
  type ReplyBody,
  atPath,
  type Call,
  isMissing,
  isStale,
  isUnchanged,
  type MountState,
  nodeOf,
} from "./mount-state.ts";
import type { Of } from "./name-operations.ts";
import type { Node } from "./node-table.ts";

/** Offsets and sizes above this are not exact as numbers; no file system here has such files. */
export const MAX_FILE_BYTES = Number.MAX_SAFE_INTEGER;

/** A program that asks for attributes is likely to read next: O_RDONLY. */
const READ_ONLY = 0;

/** Extended attributes that are passed on. */
const USER_PREFIX = new TextEncoder().encode("user.");

function attributesAnswer(
  state: MountState,
  node: Node,
  status: RemoteStatus,
): (reply: FuseReply) => void {
  return (reply) => {
    node.reported = status;
    reply.attributes(status, state.policy.attributesMs);
  };
}

/**
 * Checks that a path still leads to the node's file.
 *
 * @throws {RemoteError} ESTALE otherwise, after which the kernel looks the name up again.
 */
function checkSame(state: MountState, node: Node, status: RemoteStatus): void {
  if (node === state.nodes.root || state.nodes.isSame(node, status)) return;
  state.nodes.lost(node);
  throw new RemoteError(ERRNO.ESTALE);
}

/** GETATTR: by the handle if there is one, since a path may lead to another file by now. */
export async function getAttributes(
  state: MountState,
  call: Call,
  handle: number | undefined,
): Promise<ReplyBody> {
  const node = nodeOf(state, call.node);
  const named = handle === undefined ? undefined : state.handles.file(handle);
  const file = named?.remote === undefined ? undefined : named;
  if (file !== undefined) return attributesAnswer(state, node, await byHandle(state, node, file));
  const facts = state.retries.takeFacts(call.pid, node, state.files);
  if (facts !== undefined) return attributesAnswer(state, node, facts);
  const place = node.lastPlace;
  try {
    const status = await atPath(state, node, undefined, (path) =>
      state.files.getStatus({ path, handle: undefined }),
    );
    checkSame(state, node, status);
    return attributesAnswer(state, node, status);
  } catch (thrown) {
    if (isMissing(thrown)) state.nodes.lost(node);
    const opened = state.handles.anyFile(node);
    if (opened === undefined || !isLost(thrown)) {
      if (isStale(thrown)) state.retries.refused(call.pid, place, READ_ONLY);
      throw thrown;
    }
    return attributesAnswer(state, node, await byHandle(state, node, opened));
  }
}

function byHandle(state: MountState, node: Node, file: { remote: number | undefined }) {
  const [path, known] = [state.nodes.path(node), node.reported];
  return state.files.getStatus({ path, handle: file.remote, known });
}

/** Whether a file is no longer at its path. */
function isLost(thrown: unknown): boolean {
  return isMissing(thrown) || isStale(thrown);
}

/** Whether anything is to be changed. A process that wakes watches changes nothing. */
export function hasChanges({ mode, uid, gid, size, atime, mtime }: FuseChanges): boolean {
  return [mode, uid, gid, size, atime, mtime].some((value) => value !== undefined);
}

/**
 * An answer to SETATTR. The kernel drops the pages of a file when GETATTR or LOOKUP bring another
 * modification time, but not when SETATTR does. So it does not get one here that the operation has not set,
 * and asks again; after one that the operation has set, the next OPEN drops the pages.
 */
function changedAnswer(
  state: MountState,
  node: Node,
  status: RemoteStatus,
  { size, mtime }: FuseChanges,
): ReplyBody {
  const isSet = size !== undefined || mtime !== undefined;
  return (reply) => {
    if (isSet) node.hasOldPages = true;
    if (isSet || node.reported === undefined || isUnchanged(node.reported, status)) {
      attributesAnswer(state, node, status)(reply);
      return;
    }
    node.reported = { ...status, mtime: node.reported.mtime };
    reply.attributes(node.reported, 0);
  };
}

/** SETATTR. */
export async function setAttributes(
  state: MountState,
  call: Call,
  changes: FuseChanges,
): Promise<ReplyBody> {
  if ((changes.size ?? 0) > MAX_FILE_BYTES) throw new RemoteError(ERRNO.EFBIG);
  const node = nodeOf(state, call.node);
  const set = (target: RemoteTarget) =>
    hasChanges(changes) ? state.files.setStatus(target, changes) : state.files.getStatus(target);
  const named = changes.handle === undefined ? undefined : state.handles.file(changes.handle);
  const opened =
    named ?? (state.nodes.path(node) === undefined ? state.handles.anyFile(node) : undefined);
  const handle = opened?.remote;
  const status =
    handle === undefined
      ? await atPath(state, node, undefined, (path) => set({ path, handle: undefined }))
      : await set({ path: state.nodes.path(node), handle });
  return changedAnswer(state, node, status, changes);
}

/** READLINK. */
export async function readLink(state: MountState, call: Call): Promise<ReplyBody> {
  return await atPath(state, nodeOf(state, call.node), undefined, (path) =>
    state.files.readLink(path),
  );
}

/** STATFS. */
export async function statFilesystem(state: MountState): Promise<ReplyBody> {
  const facts = await state.files.statFilesystem();
  return (reply) => {
    reply.filesystem(facts);
  };
}

/**
 * Checks that an extended attribute is passed on.
 *
 * @throws {RemoteError} ENOSYS if none is: the kernel then does not ask again; EOPNOTSUPP for this one.
 */
function checkXattr(state: MountState, name?: Uint8Array): void {
  if (!state.hasXattrs) throw new RemoteError(ERRNO.ENOSYS);
  if (name === undefined) return;
  if (Buffer.compare(name.subarray(0, USER_PREFIX.length), USER_PREFIX) === 0) return;
  throw new RemoteError(ERRNO.EOPNOTSUPP);
}

/** A value or list as the kernel asks for it: its size alone if that is 0. */
function sized(bytes: Uint8Array, size: number): ReplyBody {
  if (size === 0) {
    return (reply) => {
      reply.size(bytes.length);
    };
  }
  if (bytes.length > size) throw new RemoteError(ERRNO.ERANGE);
  return bytes;
}

/** GETXATTR, SETXATTR, LISTXATTR and REMOVEXATTR. */
export async function extendedAttributes(
  state: MountState,
  call: Call,
  operation: Of<"getXattr" | "setXattr" | "listXattr" | "removeXattr">,
): Promise<ReplyBody> {
  checkXattr(state, operation.op === "listXattr" ? undefined : operation.name);
  return await atPath(state, nodeOf(state, call.node), undefined, async (path) => {
    switch (operation.op) {
      case "getXattr":
        return sized(await state.files.getXattr(path, operation.name), operation.size);
      case "listXattr":
        return sized(await state.files.listXattr(path), operation.size);
      case "setXattr":
        await state.files.setXattr(path, operation.name, operation.value, operation.flags);
        return undefined;
      case "removeXattr":
        await state.files.removeXattr(path, operation.name);
        return undefined;
    }
  });
}
