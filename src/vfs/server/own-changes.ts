/**
 * Changes that a connection makes itself, so that it is not notified of them: its guest knows.
 *
 * The kernel queues the events of an operation before the operation returns, so they are read before the
 * watcher next finds its queue empty. Until then an event with the same path and kind is the connection's
 * own; after that it is a change of the host.
 */
import type { NoteKind } from "../../protocols/vfs/responses.ts";
import type { VfsRequest } from "../../protocols/vfs/requests.ts";
import type { VfsChange } from "./changes.ts";
import { readOpenFlags } from "./open-flags.ts";

/** The watcher whose events are compared. */
export interface ChangeTurns {
  /** Whether there is a watcher. */
  readonly isWatching: boolean;
  /** How often the watcher has found its queue empty. */
  readonly turn: number;
}

/** Changes of one turn; further ones are notified. */
const MAX_CHANGES = 4096;

/** What an operation changes: paths, or those of its handles, with the kinds of their events. */
interface Effect {
  path?: Uint8Array;
  handle?: number | undefined;
  kinds: readonly NoteKind[];
}

/** New files may get another owner or mode; an existing one may be truncated. */
const MADE: readonly NoteKind[] = ["created", "attributes", "modified"];

/** Returns what a request changes if it succeeds. */
function effectsOf(request: VfsRequest): readonly Effect[] {
  switch (request.op) {
    case "write":
    case "fallocate":
      return [{ handle: request.handle, kinds: ["modified"] }];
    case "copyRange":
      return [{ handle: request.toHandle, kinds: ["modified"] }];
    case "open":
      return readOpenFlags(request.flags)?.truncates === true
        ? [{ path: request.path, kinds: ["modified"] }]
        : [];
    case "create":
    case "mkdir":
    case "mknod":
      return [{ path: request.path, kinds: MADE }];
    case "symlink":
      return [{ path: request.newPath, kinds: MADE }];
    case "link":
      return [
        { path: request.path, kinds: ["attributes"] },
        { path: request.newPath, kinds: ["created"] },
      ];
    case "setAttributes":
      return [{ path: request.path, handle: request.handle, kinds: ["attributes", "modified"] }];
    case "setXattr":
    case "removeXattr":
      return [{ path: request.path, kinds: ["attributes"] }];
    case "unlink":
    case "rmdir":
      return [{ path: request.path, kinds: ["removed", "attributes"] }];
    case "rename":
      return [
        { path: request.path, kinds: ["renamed", "removed"] },
        { path: request.newPath, kinds: ["renamed", "created", "attributes"] },
      ];
    default:
      return [];
  }
}

function keyOf(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString("latin1");
}

/** The changes of one connection that its watcher has not reported yet. */
export class OwnChanges {
  readonly #turns: ChangeTurns;
  readonly #kinds = new Map<string, Set<NoteKind>>();
  readonly #paths = new Map<number, string>();
  #turn = -1;

  constructor(turns: ChangeTurns) {
    this.#turns = turns;
  }

  /** Records an operation that has succeeded, with the handle that it has opened. */
  record(request: VfsRequest, opened: number | undefined): void {
    if (!this.#turns.isWatching) return;
    if (request.op === "release") this.#paths.delete(request.handle);
    if (opened !== undefined && "path" in request && request.path !== undefined) {
      this.#paths.set(opened, keyOf(request.path));
    }
    for (const { path, handle, kinds } of effectsOf(request)) {
      const ofHandle = handle === undefined ? undefined : this.#paths.get(handle);
      const key = ofHandle ?? (path === undefined ? undefined : keyOf(path));
      if (key !== undefined) this.#add(key, kinds);
    }
  }

  #add(key: string, kinds: readonly NoteKind[]): void {
    this.#forgetReported();
    const known = this.#kinds.get(key);
    if (known !== undefined) for (const kind of kinds) known.add(kind);
    else if (this.#kinds.size < MAX_CHANGES) this.#kinds.set(key, new Set(kinds));
  }

  #forgetReported(): void {
    if (this.#turn === this.#turns.turn) return;
    this.#turn = this.#turns.turn;
    this.#kinds.clear();
  }

  /** Whether a change is one of the connection's own. */
  has({ kind, path, newPath }: VfsChange): boolean {
    this.#forgetReported();
    const isOwn = (one: Uint8Array) => this.#kinds.get(keyOf(one))?.has(kind) === true;
    return isOwn(path) && (newPath === undefined || isOwn(newPath));
  }
}
