/** What the operations of a mount share, and how they find a file. */
import { ERRNO } from "../../ffi/errno.ts";
import type { FuseReply, Validity } from "../../protocols/fuse/reply.ts";
import { RemoteError, type RemoteFiles, type RemoteStatus } from "../client/remote-files.ts";
import type { CachePolicy } from "./cache-policy.ts";
import type { DirectorySnapshots } from "./directory-snapshots.ts";
import type { HandleTable, OpenFile } from "./handle-table.ts";
import type { Node, NodeTable } from "./node-table.ts";
import type { StaleRetries } from "./stale-retries.ts";

/** A request while it is served. */
export interface Call {
  /** The node's ID. */
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  /** The thread that waits for the answer; 0 for one of a PID namespace that this process does not see. */
  readonly pid: number;
  /** Whether the kernel has its answer already, after an interrupt: what was opened is closed again. */
  isAnswered: boolean;
}

/** The body of an answer: none, bytes, or what lays it out. */
export type ReplyBody = ((reply: FuseReply) => void) | Uint8Array | undefined;

/** A mount's state. */
export interface MountState {
  /** The files of the present connection; those of a lost one fail at once. */
  files: RemoteFiles;
  readonly nodes: NodeTable;
  readonly handles: HandleTable;
  /** After INIT, that for the kernel. */
  policy: CachePolicy;
  /** Lists of directories whose names are looked up one after the other. */
  readonly snapshots: DirectorySnapshots;
  /** Whether every change is refused. */
  readonly isReadOnly: boolean;
  readonly retries: StaleRetries;
  /** Whether extended attributes of users are passed on. */
  readonly hasXattrs: boolean;
}

/** How often a path is tried that was renamed in the meantime. */
const MAX_ATTEMPTS = 3;

/**
 * Returns the node with this ID.
 *
 * @throws {RemoteError} ESTALE if there is none.
 */
export function nodeOf(state: MountState, id: number): Node {
  const node = state.nodes.get(id);
  if (node === undefined) throw new RemoteError(ERRNO.ESTALE);
  return node;
}

/**
 * Returns the open file of a handle.
 *
 * @throws {RemoteError} EBADF if there is none, ESTALE if it was lost with the connection.
 */
export function fileOf(state: MountState, handle: number): OpenFile & { remote: number } {
  const file = state.handles.file(handle);
  if (file === undefined) throw new RemoteError(ERRNO.EBADF);
  if (file.remote === undefined) throw new RemoteError(ERRNO.ESTALE);
  return file as OpenFile & { remote: number };
}

/** Whether an operation has failed since a name does not exist. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof RemoteError && thrown.errno === ERRNO.ENOENT;
}

/** Whether the pages that the kernel has of a file are still right. */
export function isUnchanged(
  before: RemoteStatus | undefined,
  now: RemoteStatus | undefined,
): boolean {
  if (before === undefined || now === undefined) return false;
  return (
    before.size === now.size &&
    before.mtime.seconds === now.mtime.seconds &&
    before.mtime.nanoseconds === now.mtime.nanoseconds
  );
}

/**
 * Calls `use` with the path of a node, or of a name in it; again if a rename has changed the path in the
 * meantime.
 *
 * @throws {RemoteError} ESTALE if the file was removed.
 */
export async function atPath<T>(
  { nodes }: MountState,
  node: Node,
  name: Uint8Array | undefined,
  use: (path: Uint8Array) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const path = nodes.path(node, name);
    if (path === undefined) throw new RemoteError(ERRNO.ESTALE);
    try {
      return await use(path);
    } catch (thrown) {
      if (!isMissing(thrown) || attempt === MAX_ATTEMPTS) throw thrown;
      const now = nodes.path(node, name);
      if (now === undefined || Buffer.compare(now, path) === 0) throw thrown;
    }
  }
}

/** Whether a file is no longer the one at its path. */
export function isStale(thrown: unknown): boolean {
  return thrown instanceof RemoteError && thrown.errno === ERRNO.ESTALE;
}

/** How long the kernel may use an entry. */
export function validity({ policy }: MountState, ageMs = 0): Validity {
  const left = (validMs: number) => Math.max(0, Math.floor(validMs - ageMs));
  return { entryMs: left(policy.entryMs), attributesMs: left(policy.attributesMs) };
}

/**
 * Returns the answer that a name has been found.
 *
 * @param ageMs how old the facts are, in milliseconds.
 */
export function entryAnswer(
  state: MountState,
  parent: Node,
  name: Uint8Array,
  status: RemoteStatus,
  ageMs = 0,
): ReplyBody {
  const node = state.nodes.found(parent, name, status);
  return (reply) => {
    reply.entry(countedEntry(node, status), validity(state, ageMs));
  };
}

/** Counts that the kernel gets a node, and returns its entry. */
export function countedEntry(node: Node, status: RemoteStatus) {
  node.lookups++;
  node.reported = status;
  return { node: node.id, generation: node.generation, attributes: status };
}
