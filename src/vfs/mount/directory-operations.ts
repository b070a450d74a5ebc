/**
 * Listing directories. Offsets of the kernel are positions: 0 is `.`, 1 is `..`, 2 the first entry of the
 * host. The host lists in parts; one part is in memory for an open directory, and the beginnings of the
 * others are kept, so that seekdir(3) works.
 */
import { ERRNO } from "../../ffi/errno.ts";
import { OpenedFlag } from "../../protocols/fuse/constants.ts";
import type { DirectoryName, FuseReply } from "../../protocols/fuse/reply.ts";
import { direntType, FileType } from "../../protocols/vfs/file-numbers.ts";
import { RemoteError, type ListedEntry, type RemotePage } from "../client/remote-files.ts";
import type { OpenDirectory } from "./handle-table.ts";
import {
  type ReplyBody,
  atPath,
  type Call,
  countedEntry,
  type MountState,
  nodeOf,
  validity,
} from "./mount-state.ts";
import type { Of } from "./name-operations.ts";
import type { Node } from "./node-table.ts";

/** Positions before the first entry of the host. */
const DOTS = [Uint8Array.of(0x2e), Uint8Array.of(0x2e, 0x2e)] as const;

/** OPENDIR. */
export async function openDirectory(state: MountState, call: Call): Promise<ReplyBody> {
  const node = nodeOf(state, call.node);
  const remote = await atPath(state, node, undefined, (path) => state.files.openDirectory(path));
  if (call.isAnswered) release(state, remote);
  const flags = state.policy.usesWriteback ? OpenedFlag.CacheDirectory | OpenedFlag.KeepCache : 0;
  return (reply) => {
    reply.opened(state.handles.addDirectory(node, remote).id, flags);
  };
}

/** Closes a handle of the host, whose answer no process waits for. */
function release(state: MountState, remote: number): void {
  // A handle that cannot be closed is closed with the connection.
  void state.files.release(remote).catch(() => undefined);
}

/** RELEASEDIR. */
export async function releaseDirectory(state: MountState, handle: number): Promise<ReplyBody> {
  const directory = state.handles.directory(handle);
  if (directory === undefined) throw new RemoteError(ERRNO.EBADF);
  state.handles.remove(handle);
  state.nodes.drop(directory.node);
  if (directory.remote !== undefined) release(state, directory.remote);
  return undefined;
}

/** READDIR and READDIRPLUS. */
export async function readDirectory(
  state: MountState,
  { handle, offset, size, isPlus }: Of<"readDirectory">,
): Promise<ReplyBody> {
  const directory = state.handles.directory(handle);
  if (directory === undefined) throw new RemoteError(ERRNO.EBADF);
  if (offset === 0) {
    directory.parts = [{ first: DOTS.length, cursor: 0n }];
    directory.current = undefined;
    directory.ahead = undefined;
  }
  await loadPart(state, directory, offset);
  return (reply) => layOut({ state, directory, isPlus, size }, reply, offset);
}

/** Reads the part of the host's list in which a position is, unless it is in memory. */
async function loadPart(state: MountState, directory: OpenDirectory, offset: number) {
  for (;;) {
    const index = directory.parts.findLastIndex(
      ({ first }) => first <= Math.max(offset, DOTS.length),
    );
    const part = directory.parts[index];
    // A handle that was never read from its beginning.
    if (part === undefined) throw new RemoteError(ERRNO.EINVAL);
    if (directory.current?.index !== index) {
      const isAhead = directory.ahead?.cursor === part.cursor;
      const page = await (isAhead ? directory.ahead?.page : list(state, directory, part.cursor));
      const { entries = [], next } = page ?? {};
      directory.current = { index, entries, next };
      readAhead(state, directory, next);
    }
    const { entries, next } = directory.current;
    const end = part.first + entries.length;
    if (offset < end || next === undefined) return;
    if (index === directory.parts.length - 1) directory.parts.push({ first: end, cursor: next });
    // Its beginning has moved, since the directory has changed.
    else if (directory.parts[index + 1]?.first !== end) directory.parts.length = index + 1;
  }
}

/** Reads a part; a directory that was lost with the connection is opened again. */
function list(state: MountState, directory: OpenDirectory, cursor: bigint): Promise<RemotePage> {
  return atPath(state, directory.node, undefined, async (path) => {
    directory.remote ??= await state.files.openDirectory(path);
    return state.files.list(directory.remote, path, cursor);
  });
}

/** Asks for the next part: the kernel asks for it as soon as it has this one. */
function readAhead(state: MountState, directory: OpenDirectory, next: bigint | undefined): void {
  directory.ahead = undefined;
  if (next === undefined) return;
  const page = list(state, directory, next);
  // Its failure is that of the request that needs it.
  void page.catch(() => undefined);
  directory.ahead = { cursor: next, page };
}

interface Listing {
  state: MountState;
  directory: OpenDirectory;
  isPlus: boolean;
  /** Bytes of the answer at most. */
  size: number;
}

function layOut(listing: Listing, reply: FuseReply, offset: number): void {
  const { directory, size } = listing;
  let at = offset;
  for (const name of DOTS.slice(offset)) {
    const line = {
      name,
      ino: directory.node.ino,
      type: direntType(FileType.Directory),
      next: ++at,
    };
    const plus = listing.isPlus ? { entry: NONE, validity: NEVER } : undefined;
    if (!reply.directoryEntry(line, plus, size)) return;
  }
  const first = directory.parts[directory.current?.index ?? 0]?.first ?? DOTS.length;
  for (const entry of directory.current?.entries.slice(at - first) ?? []) {
    if (!addEntry(listing, reply, entry, ++at)) return;
  }
}

/** An entry without a node: the kernel looks the name up when it needs it. */
const NONE = { node: 0, generation: 0, attributes: undefined };
const NEVER = { entryMs: 0, attributesMs: 0 };

function addEntry(listing: Listing, reply: FuseReply, entry: ListedEntry, next: number): boolean {
  const { state, directory, isPlus, size } = listing;
  const { name, ino, type, stat } = entry;
  const line: DirectoryName = { name, ino, type, next };
  if (!isPlus) return reply.directoryEntry(line, undefined, size);
  if (stat === undefined) return reply.directoryEntry(line, { entry: NONE, validity: NEVER }, size);
  const node: Node = state.nodes.found(directory.node, name, stat);
  const plus = { entry: countedEntry(node, stat), validity: validity(state) };
  if (reply.directoryEntry(line, plus, size)) return true;
  state.nodes.forget(node.id, 1);
  return false;
}
