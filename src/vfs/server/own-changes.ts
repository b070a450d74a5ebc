/**
 * Changes that a connection makes itself, so that it is not notified of them: its guest knows.
 *
 * The kernel queues the events of an operation before the operation returns, so they are read before the
 * watcher next finds its queue empty. Until then as many events with the same path and kind are the
 * connection's own; further ones, and all after that, are changes of the host.
 */
import { RenameFlag } from "../../protocols/vfs/file-numbers.ts";
import type { NoteKind } from "../../protocols/vfs/responses.ts";
import type { VfsRequest, VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsChange } from "./changes.ts";
import { readOpenFlags } from "./open-flags.ts";

/** The watcher whose events are compared. */
export interface ChangeTurns {
  /** Whether there is a watcher. */
  readonly isWatching: boolean;
  /** How often the watcher has found its queue empty. */
  readonly turn: number;
}

/** Paths of one turn, and changes of one path; further ones are notified. */
const MAX_CHANGES = 4096;
const MAX_OF_PATH = 1024;

/** What an operation changes: paths, or those of its handles, with the kinds of their events. */
interface Effect {
  path?: Uint8Array;
  handle?: number | undefined;
  kinds: readonly NoteKind[];
}

/** New files may get another owner and another mode. */
const MADE: readonly NoteKind[] = ["created", "attributes", "attributes"];

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
    case "create": {
      const isCut = readOpenFlags(request.flags)?.truncates === true;
      return [{ path: request.path, kinds: isCut ? [...MADE, "modified"] : MADE }];
    }
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
      return [{ path: request.path, handle: request.handle, kinds: kindsOf(request) }];
    case "setXattr":
    case "removeXattr":
      return [{ path: request.path, kinds: ["attributes"] }];
    case "unlink":
    case "rmdir":
      return [{ path: request.path, kinds: ["removed", "attributes"] }];
    case "rename": {
      const moves: NoteKind[] =
        (request.flags & RenameFlag.Exchange) === 0 ? ["renamed"] : ["renamed", "renamed"];
      return [
        { path: request.path, kinds: [...moves, "removed"] },
        { path: request.newPath, kinds: [...moves, "created", "attributes"] },
      ];
    }
    default:
      return [];
  }
}

/** A time alone may be reported as a change of the content. */
function kindsOf(request: VfsRequestOf<"setAttributes">): readonly NoteKind[] {
  const { size, atime, mtime } = request;
  const mayModify = size !== undefined || atime !== undefined || mtime !== undefined;
  return mayModify ? ["attributes", "attributes", "modified"] : ["attributes", "attributes"];
}

function keyOf(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString("latin1");
}

/** The changes of one connection that its watcher has not reported yet. */
export class OwnChanges {
  readonly #turns: ChangeTurns;
  readonly #kinds = new Map<string, NoteKind[]>();
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
    if (known !== undefined && known.length < MAX_OF_PATH) known.push(...kinds);
    else if (known === undefined && this.#kinds.size < MAX_CHANGES) {
      this.#kinds.set(key, [...kinds]);
    }
  }

  #forgetReported(): void {
    if (this.#turn === this.#turns.turn) return;
    this.#turn = this.#turns.turn;
    this.#kinds.clear();
  }

  /** Whether a reported change is one of the connection's own; each of them is reported once. */
  remove({ kind, path, newPath }: VfsChange): boolean {
    this.#forgetReported();
    const paths = newPath === undefined ? [path] : [path, newPath];
    const known = paths.map((one) => this.#kinds.get(keyOf(one)) ?? []);
    if (!known.every((kinds) => kinds.includes(kind))) return false;
    for (const kinds of known) kinds.splice(kinds.indexOf(kind), 1);
    return true;
  }
}
