/** Operations on open files. */
import { ERRNO } from "../../ffi/errno.ts";
import { OpenedFlag } from "../../protocols/fuse/constants.ts";
import { OPEN_SYNC, OpenFlag } from "../../protocols/vfs/file-numbers.ts";
import { RemoteError, type RemoteOpened, type RemoteStatus } from "../client/remote-files.ts";
import { MAX_FILE_BYTES } from "./attribute-operations.ts";
import type { OpenFile } from "./handle-table.ts";
import {
  type ReplyBody,
  atPath,
  type Call,
  countedEntry,
  fileOf,
  isStale,
  isUnchanged,
  type MountState,
  nodeOf,
  validity,
} from "./mount-state.ts";
import type { Of } from "./name-operations.ts";
import type { Node } from "./node-table.ts";

const { Access, WriteOnly, ReadWrite, Create, Exclusive, Truncate, Append } = OpenFlag;
/** Flags of open(2) that go to the host. */
const SENT = Access | Create | Exclusive | Truncate | Append | OPEN_SYNC;
/** Flags of a file that is opened again: it exists, and must keep its bytes. */
const KEPT = Access | Append | OPEN_SYNC;

/**
 * Returns the flags to open a file with on the host. With written data held back the kernel appends by
 * itself, and reads the pages that it changes in part. The host truncates only what is opened to be written.
 */
export function hostFlags(flags: number, usesWriteback: boolean): number {
  const isCut = (flags & Truncate) !== 0 && (flags & Access) === 0;
  const sent = (flags & SENT) | (isCut ? ReadWrite : 0);
  if (!usesWriteback) return sent;
  const access = (sent & Access) === WriteOnly ? ReadWrite : sent & Access;
  return (sent & ~(Access | Append)) | access;
}

function openedFlags({ policy }: MountState, node: Node, status: RemoteStatus | undefined): number {
  if (policy.isDirect) return OpenedFlag.DirectIo;
  const isRight = !node.hasOldPages && isUnchanged(node.reported, status);
  const isKept = policy.keepsPages === "unchanged" && isRight;
  node.hasOldPages = false;
  return isKept || policy.keepsPages === "always" ? OpenedFlag.KeepCache : 0;
}

/** OPEN of a file. */
export async function open(state: MountState, call: Call, flags: number): Promise<ReplyBody> {
  const node = nodeOf(state, call.node);
  const sent = hostFlags(flags, state.policy.usesWriteback) & ~(Create | Exclusive);
  const ahead = state.retries.take(call.pid, node, sent, state.files);
  const { handle, status } = ahead ?? (await openSame(state, call, node, sent));
  if (call.isAnswered) void state.files.release(handle).catch(ignore);
  const file = () => state.handles.addFile(node, handle, sent & KEPT);
  return (reply) => {
    reply.opened(file().id, openedFlags(state, node, status));
  };
}

/**
 * Opens the node's file.
 *
 * @throws {RemoteError} ESTALE if its path leads to another file, after which the kernel looks the name up again.
 */
async function openSame(
  state: MountState,
  call: Call,
  node: Node,
  flags: number,
): Promise<RemoteOpened> {
  const { files } = state;
  const place = node.lastPlace;
  try {
    const opened = await atPath(state, node, undefined, (path) => files.open(path, flags));
    const { handle, status } = opened;
    if (status === undefined || state.nodes.isSame(node, status)) return opened;
    void files.release(handle).catch(ignore);
    state.nodes.lost(node);
    throw new RemoteError(ERRNO.ESTALE);
  } catch (thrown) {
    // To open a file at its lookup must not change it.
    const isHarmless = (flags & Truncate) === 0;
    if (isStale(thrown) && isHarmless) state.retries.refused(call.pid, place, flags);
    throw thrown;
  }
}

/** CREATE: finds or makes a file, and opens it. */
export async function create(
  state: MountState,
  call: Call,
  { name, flags, mode }: Of<"create">,
): Promise<ReplyBody> {
  const parent = nodeOf(state, call.node);
  const sent = hostFlags(flags, state.policy.usesWriteback) | Create;
  const { handle, status } = await atPath(state, parent, name, (path) =>
    state.files.create(path, sent, mode, call),
  );
  if (call.isAnswered) void state.files.release(handle).catch(ignore);
  const node = state.nodes.found(parent, name, status);
  return (reply) => {
    const openFlags = openedFlags(state, node, status);
    const file = state.handles.addFile(node, handle, sent & KEPT);
    reply.entry(countedEntry(node, status), validity(state)).opened(file.id, openFlags);
  };
}

function ignore(): void {
  // The handle is closed with the connection.
}

/** READ. */
export async function read(
  state: MountState,
  { handle, offset, size }: Of<"read">,
): Promise<ReplyBody> {
  if (offset > MAX_FILE_BYTES - size) return undefined;
  return await state.files.read(fileOf(state, handle).remote, offset, size);
}

/** WRITE. */
export async function write(
  state: MountState,
  { handle, offset, data, isAppend }: Of<"write">,
): Promise<ReplyBody> {
  if (offset > MAX_FILE_BYTES - data.length) throw new RemoteError(ERRNO.EFBIG);
  const file = fileOf(state, handle);
  // The host appends, since others may have appended since the kernel asked for the size. With data held
  // back the host's end is not the kernel's.
  const atEnd = isAppend && !state.policy.usesWriteback;
  const written = await state.files.write(file.remote, offset, data, atEnd);
  return (reply) => {
    reply.size(written);
  };
}

/** FSYNC. */
export async function fsync(
  state: MountState,
  { handle, isDataOnly }: Of<"fsync">,
): Promise<ReplyBody> {
  await state.files.fsync(fileOf(state, handle).remote, isDataOnly);
  return undefined;
}

/** RELEASE: no process waits for it. */
export async function release(state: MountState, handle: number): Promise<ReplyBody> {
  const file = state.handles.file(handle);
  if (file === undefined) throw new RemoteError(ERRNO.EBADF);
  forgetHandle(state, file);
  if (file.remote !== undefined) await state.files.release(file.remote);
  return undefined;
}

function forgetHandle(state: MountState, file: OpenFile): void {
  state.handles.remove(file.id);
  state.nodes.drop(file.node);
}

/** FALLOCATE. */
export async function fallocate(
  state: MountState,
  { handle, mode, offset, length }: Of<"fallocate">,
): Promise<ReplyBody> {
  if (offset > MAX_FILE_BYTES - length) throw new RemoteError(ERRNO.EFBIG);
  await state.files.fallocate(fileOf(state, handle).remote, mode, offset, length);
  return undefined;
}

/** LSEEK, for data and holes alone. */
export async function seek(
  state: MountState,
  { handle, offset, whence }: Of<"seek">,
): Promise<ReplyBody> {
  // The host does not have written data that the kernel holds, and has a hole there.
  if (state.policy.usesWriteback) throw new RemoteError(ERRNO.ENOSYS);
  if (offset > MAX_FILE_BYTES) throw new RemoteError(ERRNO.ENXIO);
  const found = await state.files.seek(fileOf(state, handle).remote, offset, whence);
  return (reply) => {
    reply.offset(found);
  };
}

/** Bytes of one COPY_FILE_RANGE: the answer's count has 32 bits, and programs repeat the call. */
const MAX_COPY_BYTES = 0x4000_0000;

/** COPY_FILE_RANGE: the host copies. */
export async function copyFileRange(
  state: MountState,
  { from, to, length }: Of<"copyFileRange">,
): Promise<ReplyBody> {
  const target = fileOf(state, to.handle);
  const copied = await state.files.copyRange(
    { handle: fileOf(state, from.handle).remote, offset: from.offset },
    { handle: target.remote, offset: to.offset },
    Math.min(length, MAX_COPY_BYTES),
  );
  return (reply) => {
    reply.size(copied);
  };
}
